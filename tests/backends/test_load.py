"""What cannot be served says so, and what to do."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
import valence_model
from safetensors.torch import load_file
from valence_service.backends.load import ModelUnusable
from valence_service.core.classifier import Classifier

from tests.support import models
from tests.support.alike import check_alike
from tests.support.loading import load_replicas, model_source


def load(
    name: str,
    *,
    device: str = "cpu",
    replicas: int = 1,
    label_valence: dict[str, float] | None = None,
) -> list[Classifier]:
    source = model_source(name, device=device, label_valence=label_valence)
    return list(load_replicas(source, replicas, max_micro_batch_tokens=64).classifiers)


def refused(name: str, because: str, *, device: str = "cpu") -> None:
    with pytest.raises(ModelUnusable, match=because) as caught:
        load(name, device=device)
    assert "\n" not in str(caught.value)


def test_a_folder_is_known_by_its_name_and_the_digest_of_its_weights(two_labels: str) -> None:
    (classifier,) = load(two_labels)
    weights = (Path(two_labels) / "model.safetensors").read_bytes()
    assert classifier.info.name == Path(two_labels).name
    assert classifier.info.revision == hashlib.sha256(weights).hexdigest()[:12]
    assert (classifier.info.engine, classifier.info.precision) == ("pipeline", "f32")


def test_each_replica_has_a_model_and_a_tokenizer_of_its_own(two_labels: str) -> None:
    one, other = load(two_labels, replicas=2)
    assert one.pipeline.model is not other.pipeline.model  # type: ignore[attr-defined]  # of this engine
    assert one.pipeline.tokenizer is not other.pipeline.tokenizer  # type: ignore[attr-defined]  # of this engine


def test_missing(tmp_path: Path) -> None:
    refused(str(tmp_path / "nowhere"), r"nowhere does not exist: check --model")


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    refused(str(tmp_path / "model.bin"), "is a file, not a folder")


def test_empty(tmp_path: Path) -> None:
    refused(str(tmp_path), "has no config.json")


def test_without_weights(two_labels: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((Path(two_labels) / "config.json").read_text())
    refused(str(tmp_path), "has no weights")


def pickled(two_labels: str, folder: Path) -> str:
    """The same model with its weights as a pickle, and code that its configuration asks to run."""
    shutil.copytree(two_labels, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return str(folder)


def test_pickles_are_refused_unless_they_are_trusted(two_labels: str, tmp_path: Path) -> None:
    folder = pickled(two_labels, tmp_path / "openvino" / "pickled")
    refused(folder, "are pickles, which can run code .*--allow-pickle if you trust")
    source = dataclasses.replace(model_source(folder), allow_pickle=True)
    (trusted,) = load_replicas(source, 1, max_micro_batch_tokens=64).classifiers
    (expected,) = load(two_labels)
    check_alike(trusted.classify(["good"]), expected.classify(["good"]))


def test_safetensors_go_before_pickles(two_labels: str, tmp_path: Path) -> None:
    folder = Path(pickled(two_labels, tmp_path / "both"))
    (folder / "pytorch_model.bin").write_bytes(b"whatever it holds, it is not read")
    shutil.copy(Path(two_labels) / "model.safetensors", folder)
    (classifier,) = load(str(folder))
    assert classifier.classify(["good"])


def test_code_that_comes_with_a_model_is_not_run(two_labels: str, tmp_path: Path) -> None:
    folder = tmp_path / "with code"
    shutil.copytree(two_labels, folder)
    ran = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Model: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "of its own",
        "auto_map": {
            "AutoConfig": "code.Model",
            "AutoModelForSequenceClassification": "code.Model",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnusable):
        load(str(folder))
    assert not ran.exists()


def test_not_a_classifier(tmp_path: Path) -> None:
    folder = models.make_headless_model(tmp_path / "headless")
    refused(folder, "is not a text classifier: its weights lack classifier.bias")


@pytest.mark.parametrize("family", ["ModernBert", "Llama"])
@pytest.mark.parametrize("task", ["TokenClassification", "QuestionAnswering"])
def test_a_model_of_another_task_is_no_classifier(
    two_labels: str, tmp_path: Path, family: str, task: str
) -> None:
    name = f"{family}For{task}"
    folder = changed(two_labels, tmp_path / "other", architectures=[name])
    refused(str(folder), f"is not a text classifier: config.json, architectures says {name}")


def test_broken_configuration(two_labels: str, tmp_path: Path) -> None:
    folder = shutil.copytree(two_labels, tmp_path / "broken")
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-thing"}))
    refused(str(folder), "cannot load the model in .*broken: .*no-such-thing")


def test_without_tokenizer(two_labels: str, tmp_path: Path) -> None:
    folder = shutil.copytree(two_labels, tmp_path / "wordless")
    for path in folder.glob("*token*"):
        path.unlink()
    refused(str(folder), "has no words: tokenizer.json or vocab.txt is missing; save_pretrained")


def test_a_tokenizer_that_is_newer_than_the_library(two_labels: str, tmp_path: Path) -> None:
    folder = shutil.copytree(two_labels, tmp_path / "newer")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"version": "9.0"}))
    refused(str(folder), "cannot load the tokenizer in .*newer: .*no newer than .*version '9.0'")


@pytest.mark.parametrize(("engine", "precision"), [("pipeline", "f32"), ("openvino", "int8")])
def test_the_tokenizer_of_another_model(tmp_path: Path, engine: str, precision: str) -> None:
    folder = changed(valence_model.path(), tmp_path / "other", vocab_size=77)
    source = model_source(str(folder), engine=engine, precision=precision)
    with pytest.raises(ModelUnusable, match=r"has \d+ tokens, and the model knows 77 .*vocab_size"):
        load_replicas(source, 1)


def test_unreadable(two_labels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by chmod: root reads everything.
    def denied(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(two_labels, "no permission to read .*config.json: check its mode")


def test_not_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(
        "nobody/no-such-model", "check its name, --revision and the connection, or give a folder"
    )


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_no_such_device(two_labels: str, device: str) -> None:
    with pytest.raises(ModelUnusable, match="not a device of this machine: use cpu") as caught:
        load(two_labels, device=device)
    assert caught.value.setting == "device"


def test_a_label_that_is_not_there(two_labels: str) -> None:
    with pytest.raises(ModelUnusable, match="the model has no label 'joy'") as caught:
        load(two_labels, label_valence={"joy": 1.0})
    assert caught.value.setting == "label_valence"


def changed(two_labels: str, folder: Path, **entries: object) -> Path:
    """A copy of the model, with other entries in its config.json."""
    shutil.copytree(two_labels, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))
    return folder


def test_a_wrong_label_is_named_with_its_file(two_labels: str, tmp_path: Path) -> None:
    folder = changed(two_labels, tmp_path / "null", id2label={"0": "a", "1": None})
    refused(str(folder), r"null/config.json, id2label: the name of id 1 is null: give it a text")


def test_more_labels_than_the_weights_have(two_labels: str, tmp_path: Path) -> None:
    folder = changed(two_labels, tmp_path / "more", id2label={"0": "a", "1": "b", "2": "c"})
    refused(
        str(folder), r"more/config.json makes classifier.bias of shape \[3\], .* weights have \[2\]"
    )


def test_more_labels_than_a_ready_made_form_computes(tmp_path: Path) -> None:
    folder = changed(valence_model.path(), tmp_path / "more", id2label={"0": "a"})
    source = model_source(str(folder), engine="openvino", precision="int8")
    with pytest.raises(
        ModelUnusable, match=r"shape \[\?,2\], not a score for each of the 1 labels"
    ):
        load_replicas(source, 1)


@pytest.mark.parametrize("engine", ["pipeline", "openvino"])
def test_a_name_twice_is_served_as_transformers_does(
    two_labels: str, tmp_path: Path, engine: str
) -> None:
    folder = str(changed(two_labels, tmp_path / "twice", id2label={"0": "same", "1": "same"}))
    (classifier,) = load_replicas(model_source(folder, engine=engine), 1).classifiers
    (sentiment,) = classifier.classify(["it was not very good"])
    reference = transformers.pipeline("text-classification", folder)("it was not very good")
    assert [score.label for score in sentiment.scores] == ["same", "same"]
    assert sentiment.scores[0].score == pytest.approx(reference[0]["score"], abs=1e-3)
    assert sum(score.score for score in sentiment.scores) == pytest.approx(1)
