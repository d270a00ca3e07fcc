"""A file that is broken or missing is named, with what to do."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import openvino
import pytest
import valence_model
from openvino import opset13 as ops
from safetensors.torch import load_file, save_file
from valence_service.backends.artifact import read_ready_made
from valence_service.backends.source import ModelUnusable, find_model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def folder(two_labels: str, tmp_path: Path) -> Path:
    """A copy of the small model, to be broken."""
    return shutil.copytree(two_labels, tmp_path / "model")


def refused(folder: Path, *says: str, allow_pickle: bool = False) -> None:
    with pytest.raises(ModelUnusable) as caught:
        find_model(str(folder), None, allow_pickle=allow_pickle)
    message = str(caught.value)
    assert all(words in message for words in says), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "file",
    [
        *("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"),
        *("spiece.model", "vocab.txt", "bpe.codes"),
    ],
)
def test_a_git_lfs_pointer_is_not_the_file(folder: Path, file: str) -> None:
    (folder / file).write_bytes(POINTER)
    refused(folder, f"/{file} is a Git LFS pointer", "git lfs pull")


def test_a_pickle_that_is_a_git_lfs_pointer(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(POINTER)
    refused(folder, "/pytorch_model.bin is a Git LFS pointer", allow_pickle=True)


def test_a_git_lfs_pointer_that_is_not_read_does_no_harm(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(POINTER)
    assert not find_model(str(folder), None, allow_pickle=False).pickled


@pytest.mark.parametrize("file", ["openvino_model_qint8.xml", "openvino_model_qint8.bin"])
def test_a_ready_made_form_that_is_a_git_lfs_pointer(tmp_path: Path, file: str) -> None:
    copy = shutil.copytree(valence_model.path(), tmp_path / "model")
    (copy / "openvino" / file).write_bytes(POINTER)
    found = find_model(str(copy), None, allow_pickle=False)
    with pytest.raises(ModelUnusable, match=f"/{file} is a Git LFS pointer"):
        read_ready_made(found, "int8")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: download the model again"),
        (b"<!DOCTYPE html><html>404</html>", "is no safetensors file: download it again"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00[]", "is no safetensors file"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}x", "has 11 bytes, and its header says 10"),
    ],
)
def test_weights_that_are_none(folder: Path, content: bytes, says: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "/model.safetensors", says)


def test_weights_that_are_cut_off(folder: Path) -> None:
    size = (folder / "model.safetensors").stat().st_size
    os.truncate(folder / "model.safetensors", size - 1)
    refused(folder, f"has {size - 1} bytes, and its header says {size}: download it again")


def sharded(folder: Path) -> dict[str, str]:
    """Divide the weights between two files, and return which tensor is where."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = dict(zip(SHARDS, (names[:9], names[9:]), strict=True))
    for shard, held in parts.items():
        save_file({name: tensors[name] for name in held}, folder / shard, {"format": "pt"})
    places = {name: shard for shard, held in parts.items() for name in held}
    write_index(folder, places)
    return places


def write_index(folder: Path, places: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def test_shards_are_weights(folder: Path) -> None:
    whole = find_model(str(folder), None, allow_pickle=False).digest
    sharded(folder)
    first = find_model(str(folder), None, allow_pickle=False).digest
    (folder / SHARDS[1]).write_bytes((folder / SHARDS[1]).read_bytes()[:-1] + b"\x01")
    assert len({whole, first, find_model(str(folder), None, allow_pickle=False).digest}) == 3


@pytest.mark.parametrize("shard", SHARDS)
def test_a_missing_shard_is_named(folder: Path, shard: str) -> None:
    sharded(folder)
    (folder / shard).unlink()
    refused(folder, f"model.safetensors.index.json names {shard}, and it is missing")


def test_a_shard_that_is_cut_off_is_named(folder: Path) -> None:
    sharded(folder)
    size = (folder / SHARDS[1]).stat().st_size
    os.truncate(folder / SHARDS[1], size - 1)
    refused(folder, f"/{SHARDS[1]} has {size - 1} bytes")


@pytest.mark.parametrize("outside", ["../model.safetensors", "/etc/passwd"])
def test_an_index_names_no_file_elsewhere(folder: Path, outside: str) -> None:
    write_index(folder, dict.fromkeys(sharded(folder), outside))
    refused(folder, f"index.json names {outside}, which is not in its folder")


@pytest.mark.parametrize("places", [None, [], {}])
def test_an_index_that_names_nothing(folder: Path, places: object) -> None:
    sharded(folder)
    write_index(folder, places)
    refused(folder, "model.safetensors.index.json has no weight_map")


@pytest.mark.parametrize(
    "name",
    [
        *("model.gguf", "onnx/model.onnx", "tf_model.h5", "flax_model.msgpack", "model.pt"),
        *("model.fp16.safetensors", "training_args.bin", SHARDS[0]),
    ],
)
def test_weights_of_other_tools_are_named(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, f"does not read {Path(name).name}: save the model with transformers'")


@pytest.mark.parametrize("beside", ["config.json", "model.safetensors", "nothing"])
def test_an_adapter_is_no_model(folder: Path, beside: str) -> None:
    (folder / "adapter_config.json").write_text("{}")
    for path in folder.iterdir():
        if path.name not in ("adapter_config.json", beside):
            path.unlink()
    refused(folder, "holds a PEFT adapter: merge it into its base model")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is no JSON: is the model's folder complete?"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "holds no JSON object"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark: save it as UTF-8 without one"),
        ("{}".encode("utf-16"), "is not UTF-8"),
        (b'{"a": "\xe9"}', "is not UTF-8"),
        (b"", "is empty"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_configuration_that_cannot_be_read(
    folder: Path, file: str, content: bytes, says: str
) -> None:
    (folder / file).write_bytes(content)
    refused(folder, f"/{file} {says}")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere", "is missing, or a link to a missing file"),
        (None, "Too many levels of symbolic links"),
        (".", "is a folder, not a file"),
    ],
)
def test_a_link_to_nothing_is_named(folder: Path, file: str, target: str | None, says: str) -> None:
    (folder / file).unlink()
    (folder / file).symlink_to(target or file)
    refused(folder, f"/{file}", says)


def test_a_name_that_no_file_can_have() -> None:
    refused(Path("/" + "x" * 5000), "File name too long")


def test_a_replaced_int8_form_is_another_model(tmp_path: Path) -> None:
    copy = shutil.copytree(valence_model.path(), tmp_path / "model")
    before = find_model(str(copy), None, allow_pickle=False)
    weights = copy / "openvino" / "openvino_model_qint8.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
    after = find_model(str(copy), None, allow_pickle=False)
    assert after.digest != before.digest
    assert after.revision != before.revision


@pytest.mark.parametrize("file", ["bpe.codes", "prophetnet.tokenizer", "vocab.txt"])
def test_every_file_of_a_tokenizer_counts_for_the_cache(folder: Path, file: str) -> None:
    without = find_model(str(folder), None, allow_pickle=False).settings_digest
    (folder / file).write_text("a b 1")
    first = find_model(str(folder), None, allow_pickle=False).settings_digest
    (folder / file).rename(folder / f"other-{file}")
    renamed = find_model(str(folder), None, allow_pickle=False).settings_digest
    assert len({without, first, renamed}) == 3


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (
            ["input_ids"],
            r"shape \[\?,\?,3\], not a score for each of the 2 labels",
        ),
        (
            ["input_ids", "position_ids"],
            "has the input position_ids: export it with",
        ),
    ],
)
def test_a_ready_made_form_of_another_kind(folder: Path, inputs: list[str], says: str) -> None:
    ids = [ops.parameter([-1, -1], np.int64, name=name) for name in inputs]
    for port in ids:
        port.output(0).set_names({port.get_friendly_name()})
    rows = ops.constant(np.zeros((99, 3), np.float32))
    vectors = ops.gather(rows, ops.add(ids[0], ids[-1]), ops.constant(0))
    openvino.save_model(openvino.Model([vectors], ids), folder / "openvino_model.xml")
    with pytest.raises(ModelUnusable, match=says):
        read_ready_made(find_model(str(folder), None, allow_pickle=False), "f32")
