"""Find a model's weights, and check that its files are whole.

The libraries' own errors name neither the file nor the remedy.
"""

from __future__ import annotations

import codecs
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# A clone without git-lfs, or a download of the page's raw link, has such files for large ones.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
PICKLE = "pytorch_model.bin"
# What other tools keep weights in.
_OTHER_WEIGHTS = (
    *("*.gguf", "*.onnx", "*/*.onnx", "*.h5", "*.msgpack", "*.ckpt", "*.pt", "*.pth"),
    *("*.safetensors", "*.bin"),
)


class ModelUnusable(Exception):
    """The model cannot be served as the settings say; the message says what to do."""

    def __init__(self, message: str, *, setting: str = "model") -> None:
        super().__init__(message)
        self.setting = setting
        """The setting at fault."""


class ModelUnavailable(ModelUnusable):
    """The model cannot be served now, though the settings may be right."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object. Raise ModelUnusable, OSError."""
    check_file(path)
    content = path.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        raise ModelUnusable(f"{path} begins with a byte order mark: save it as UTF-8 without one")
    try:
        read = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "is no JSON"
        raise ModelUnusable(f"{path} {reason}: is the model's folder complete?") from error
    if not isinstance(read, dict):
        raise ModelUnusable(f"{path} holds no JSON object: is the model's folder complete?")
    return read


def weights_of(folder: Path) -> list[Path]:
    """Return a model's weight files: safetensors before pickles before OpenVINO's form.

    Raise ModelUnusable, OSError for an index that cannot be read.
    """
    for whole in ("model.safetensors", PICKLE):
        if os.path.lexists(folder / whole):
            return [folder / whole]
        index = folder / f"{whole}.index.json"
        # Of pickles the hub's copy has the index alone, unless the operator allows them.
        if os.path.lexists(index) and (whole != PICKLE or any(folder.glob("pytorch_model*.bin"))):
            return _shards(index)
    return ready_made_of(folder, "*.bin")


def ready_made_of(folder: Path, kind: str = "*") -> list[Path]:
    """Return the files of the OpenVINO forms that a model's folder carries."""
    return sorted([*folder.glob(f"openvino_model{kind}"), *folder.glob(f"openvino/{kind}")])


def check_whole_model(folder: Path) -> None:
    """Raise ModelUnusable where a folder holds what is added to another model."""
    if (folder / "adapter_config.json").exists():
        raise ModelUnusable(
            f"the folder {folder} holds a PEFT adapter: merge it into its base model "
            "(merge_and_unload), and serve the folder that save_pretrained then writes"
        )


def check_weights(folder: Path) -> list[Path]:
    """Return a model's weight files. Raise ModelUnusable where there are none or one is broken."""
    weights = weights_of(folder)
    if not weights:
        others = [path.name for kind in _OTHER_WEIGHTS for path in sorted(folder.glob(kind))]
        if others:
            raise ModelUnusable(
                f"the folder {folder} has neither model.safetensors nor its index, and the "
                f"service does not read {others[0]}: save the model with transformers' "
                "save_pretrained"
            )
        raise ModelUnusable(
            f"the folder {folder} has no weights (model.safetensors); where the hub has them as "
            "pickles, --allow-pickle fetches those"
        )
    for path in weights:
        check_file(path)
        if path.suffix == ".safetensors":
            check_safetensors(path)
    return weights


def check_file(path: Path) -> None:
    """Raise ModelUnusable where a file is empty or stands for one in Git LFS; raise OSError."""
    if path.is_dir():
        raise ModelUnusable(f"{path} is a folder, not a file: is the model's folder complete?")
    with path.open("rb") as file:
        begins = file.read(len(_LFS_POINTER))
    if begins == _LFS_POINTER:
        raise ModelUnusable(
            f"{path} is a Git LFS pointer, not the file itself: run git lfs pull in the model's "
            "repository, or download the model again"
        )
    if not begins:
        raise ModelUnusable(f"{path} is empty: download the model again")


def _shards(index: Path) -> list[Path]:
    """Return the files that an index names."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelUnusable(f"{index} has no weight_map: is the model's folder complete?")
    shards = sorted({str(name) for name in names.values()})
    for name in shards:
        path = index.parent / name
        # A model must not name other files of this machine.
        if path.parent != index.parent:
            raise ModelUnusable(f"{index} names {name}, which is not in its folder: correct it")
        if not path.exists():
            raise ModelUnusable(f"{index} names {name}, and it is missing: download it too")
    return [index.parent / name for name in shards]


def check_safetensors(path: Path) -> None:
    """Raise ModelUnusable unless the file has the length that its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            # A header may be no longer than the file: other files' first bytes are large numbers.
            tensors = json.loads(file.read(length)) if length < size else {}
            tensors.pop("__metadata__", None)
            ends = 8 + length + max((t["data_offsets"][1] for t in tensors.values()), default=0)
        except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
            ends = 0
    if not ends or length >= size:
        raise ModelUnusable(f"{path} is no safetensors file: download it again")
    if ends != size:
        raise ModelUnusable(
            f"{path} has {size} bytes, and its header says {ends}: download it again"
        )
