"""A model converts once, and what is kept of it survives whatever happens to the folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openvino
import pytest
from structlog.testing import capture_logs
from valence_service.backends import conversion
from valence_service.backends.artifact import ModelArtifact
from valence_service.backends.cache import prepare_artifact
from valence_service.backends.load import ModelUnusable, prepare_model
from valence_service.backends.source import CannotConvert, ModelFolder, find_model
from valence_service.core.classifier import Classifier
from valence_service.core.sentiment import Sentiment

from tests.support import models
from tests.support.alike import check_alike
from tests.support.loading import load_replicas, model_source
from tests.support.server import command, environment

# Of an entry, beside valence.json.
OTHER_FILES = ("openvino_model.xml", "tokenizer.json")


def load(name: str, cache_dir: Path, *, engine: str = "openvino") -> Classifier:
    source = model_source(name, engine=engine, cache_dir=cache_dir)
    (classifier,) = load_replicas(source, 1).classifiers
    return classifier


def answers(classifier: Classifier) -> Sequence[Sentiment]:
    return classifier.classify(list(models.TEXTS))


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def refuse(folder: object, **_: object) -> None:
        raise CannotConvert("converted again")

    monkeypatch.setattr(conversion, "convert", refuse)
    return monkeypatch


@pytest.fixture(scope="module")
def cached(traced: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the small model."""
    cache = tmp_path_factory.mktemp("cache")
    load(traced, cache)
    return cache


def test_a_second_start_converts_nothing(
    traced: str, cached: Path, no_conversion: pytest.MonkeyPatch
) -> None:
    again = load(traced, cached)
    check_alike(answers(again), answers(load(traced, cached)))
    (entry,) = cached.iterdir()
    assert entry.name.startswith(find_model(traced, None, allow_pickle=False).digest[:32])
    assert entry.name.endswith(f"-openvino-{openvino.__version__.split('-')[0]}-f32")


def test_other_weights_are_another_entry(
    traced: str, tmp_path: Path, cached: Path, no_conversion: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(traced, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelUnusable, match="converted again"):
        load(str(other), cached)


@pytest.mark.full
def test_another_tokenizer_is_another_entry(traced: str, tmp_path: Path, cached: Path) -> None:
    cache = shutil.copytree(cached, tmp_path / "cache")
    other = shutil.copytree(traced, tmp_path / "other")
    path = other / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 8}))
    assert load(str(other), cache).info.max_tokens == 8
    assert load(traced, cache).info.max_tokens > 8


@pytest.mark.parametrize(
    "file",
    ["valence.json", *(pytest.param(file, marks=pytest.mark.full) for file in OTHER_FILES)],
)
def test_a_broken_entry_is_made_again(traced: str, cached: Path, tmp_path: Path, file: str) -> None:
    cache = shutil.copytree(cached, tmp_path / "cache")
    (entry,) = cache.iterdir()
    (entry / file).write_text("{")
    with capture_logs() as events:
        mended = load(traced, cache)
    assert "cache_broken" in [event["event"] for event in events]
    check_alike(answers(mended), answers(load(traced, cached)))
    assert (entry / file).read_text() != "{"


def test_a_folder_that_cannot_be_written_costs_a_warning(
    traced: str, cached: Path, tmp_path: Path
) -> None:
    # Not by chmod: root writes everywhere.
    (tmp_path / "file").touch()
    with capture_logs() as events:
        classifier = load(traced, tmp_path / "file" / "cache")
    (warning,) = [event for event in events if event["event"] == "cache_unwritable"]
    assert "--cache-dir" in warning["hint"]
    check_alike(answers(classifier), answers(load(traced, cached)))


@pytest.mark.parametrize("engine", ["auto", pytest.param("openvino", marks=pytest.mark.full)])
def test_preparing_for_later_needs_a_folder_that_can_be_written(
    engine: str, traced: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    source = model_source(traced, engine=engine, cache_dir=tmp_path / "file")
    with pytest.raises(ModelUnusable, match="choose another folder with --cache-dir"):
        prepare_model(source)


@pytest.mark.full
def test_two_processes_at_once_leave_one_whole_entry(traced: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    arguments = ("--prepare", "--engine", "openvino", "--precision", "f32", "--model", traced)
    both = [
        subprocess.Popen(
            command(*arguments, "--cache-dir", str(cache)),
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for _ in range(2)
    ]
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert '"prepared"' in said
    check_one_whole_entry(traced, cache)


def test_two_conversions_at_once_leave_one_whole_entry(
    traced: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = conversion.convert(find_model(traced, None, allow_pickle=False), check_tokens=None)
    both = threading.Barrier(2)

    def convert_beside_another(folder: ModelFolder, **_: object) -> ModelArtifact:
        both.wait(60)  # and so neither finds the other's entry
        return converted

    monkeypatch.setattr(conversion, "convert", convert_beside_another)
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(2) as threads:
        loaded = [threads.submit(load, traced, cache) for _ in range(2)]
        for done in loaded:
            assert answers(done.result())
    check_one_whole_entry(traced, cache)


def check_one_whole_entry(name: str, cache: Path) -> None:
    (entry,) = cache.iterdir()
    assert answers(load(name, cache))
    assert sorted(path.name for path in entry.iterdir()) == [
        "openvino_model.bin",
        "openvino_model.xml",
        "tokenizer.json",
        "valence.json",
    ]


@pytest.mark.parametrize("where", [pytest.param(".", marks=pytest.mark.full), "openvino"])
@pytest.mark.parametrize("make", [models.make_offset_model, models.make_unpaddable_model])
def test_a_folder_may_carry_its_compiled_form(
    make: object, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "model")  # type: ignore[operator]
    found = find_model(folder, None, allow_pickle=False)
    converted = prepare_artifact(found, "f32", tmp_path / "cache", check_tokens=None)
    (tmp_path / "model" / where).mkdir(exist_ok=True)
    openvino.save_model(
        converted.model, tmp_path / "model" / where / "openvino_model.xml", compress_to_fp16=False
    )
    monkeypatch.setattr(conversion, "convert", lambda folder, **_: pytest.fail("converted again"))
    found = find_model(folder, None, allow_pickle=False)
    ready_made = prepare_artifact(found, "f32", tmp_path / "empty", check_tokens=None)
    assert ready_made.input_spec == converted.input_spec
    assert not (tmp_path / "empty").exists()


def test_a_compiled_form_alone_is_a_model(traced: str, cached: Path, tmp_path: Path) -> None:
    (entry,) = cached.iterdir()
    folder = shutil.copytree(entry, tmp_path / "exported")
    for file in ("config.json", "tokenizer_config.json"):
        shutil.copy(Path(traced) / file, folder)
    check_alike(answers(load(str(folder), tmp_path)), answers(load(traced, cached)))


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_broken_compiled_form_says_so(engine: str, traced: str, tmp_path: Path) -> None:
    folder = shutil.copytree(traced, tmp_path / "model")
    (folder / "openvino_model.xml").write_text("<net/>")
    with pytest.raises(ModelUnusable, match=r"cannot read .*openvino_model\.xml"):
        load(str(folder), tmp_path, engine=engine)


def test_auto_serves_by_the_pipeline_what_cannot_be_converted(
    traced: str, tmp_path: Path, no_conversion: pytest.MonkeyPatch
) -> None:
    with capture_logs() as events:
        classifier = load(traced, tmp_path, engine="auto")
    assert classifier.info.engine == "pipeline"
    assert "OpenVINO cannot compute" in classifier.info.engine_reason
    assert [event["reason"] for event in events if event["event"] == "engine"]
