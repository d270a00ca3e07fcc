"""The cache removes the conversions that nobody uses, and a start works without it."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from valence_service.backends import conversion
from valence_service.backends.artifact import ModelArtifact
from valence_service.backends.cache import prepare_artifact
from valence_service.backends.source import ModelFolder, ModelUnusable, find_model

from tests.support.server import environment

DAY = 24 * 60 * 60
OTHER_MODEL = f"{'0' * 32}-{'1' * 8}-openvino-2026.1.0-f32"


@pytest.fixture(scope="module")
def folder(traced: str) -> ModelFolder:
    return find_model(traced, None, allow_pickle=False)


@pytest.fixture(scope="module")
def converted(folder: ModelFolder) -> ModelArtifact:
    return conversion.convert(folder, check_tokens=None)


@pytest.fixture(autouse=True)
def _convert_once(converted: ModelArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "convert", lambda *_, **__: converted)


def prepare(folder: ModelFolder, cache_dir: Path) -> ModelArtifact:
    return prepare_artifact(folder, "f32", cache_dir, check_tokens=64)


def aged(path: Path, days: float) -> Path:
    """Make a folder with a file in it, last used so many days ago; or only age it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "openvino_model.bin").touch()
    used = time.time() - days * DAY
    os.utime(path, (used, used))
    return path


@pytest.mark.full
def test_what_was_kept_without_a_check_is_not_taken_for_checked(
    folder: ModelFolder, tmp_path: Path
) -> None:
    for check_tokens in (None, 64, None):
        prepare_artifact(folder, "f32", tmp_path, check_tokens=check_tokens)
    unchecked, checked = sorted(path.name for path in tmp_path.iterdir())[::-1]
    assert unchecked == f"{checked}-unchecked"


def test_a_written_conversion_removes_those_that_nobody_uses(
    folder: ModelFolder, tmp_path: Path
) -> None:
    prepare(folder, tmp_path)
    (written,) = tmp_path.iterdir()
    model = written.name.partition("-openvino-")[0]
    kept = [
        aged(tmp_path / f"{model}-openvino-2026.0.0-f32", days=6),
        aged(tmp_path / f"{model}-openvino-2026.0.0-bf16", days=29),
        aged(tmp_path / OTHER_MODEL, days=29),
        aged(tmp_path / ".new-abcdefgh", days=0.9),
        aged(tmp_path / ".new-of-another-program", days=400),
        aged(tmp_path / "photographs", days=400),
    ]
    removed = [
        aged(tmp_path / f"{model}-openvino-2025.4.1-f32", days=8),
        aged(tmp_path / f"{model}-openvino-2025.4.1-bf16", days=31),
        aged(tmp_path / OTHER_MODEL.replace("2026.1.0", "2025.4.1"), days=31),
        aged(tmp_path / ".new-ijklmn_1", days=1.1),
    ]

    prepare(folder, tmp_path)
    assert all(path.exists() for path in removed), "reading an entry removes none"
    shutil.rmtree(written)
    with capture_logs() as events:
        prepare(folder, tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([written, *kept])
    pruned = [event["removed"] for event in events if event["event"] == "cache_pruned"]
    assert sorted(pruned) == sorted(map(str, removed))


def test_a_conversion_that_a_process_holds_is_kept(folder: ModelFolder, tmp_path: Path) -> None:
    holding = prepare(folder, tmp_path)
    (written,) = tmp_path.iterdir()
    held = aged(written.rename(tmp_path / OTHER_MODEL), days=400)

    prepare(folder, tmp_path)
    assert held.exists()
    del holding
    gc.collect()
    shutil.rmtree(written)
    prepare(folder, tmp_path)
    assert not held.exists()


def test_a_read_conversion_counts_as_used(folder: ModelFolder, tmp_path: Path) -> None:
    prepare(folder, tmp_path)
    (entry,) = tmp_path.iterdir()
    aged(entry, days=20)
    prepare(folder, tmp_path)
    assert time.time() - entry.stat().st_mtime < DAY


# Neither the cache nor a temporary folder can be written, and nobody knows the user.
UNWRITABLE = """
import os, pwd, resource, sys
from pathlib import Path
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
del os.environ["HOME"]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from tests.support.loading import load_replicas, model_source
source = model_source(sys.argv[1], engine=sys.argv[2], cache_dir=Path(sys.argv[3]))
(classifier,) = load_replicas(source, 1).classifiers
print(len(classifier.classify(["good"])))
"""


@pytest.mark.full
@pytest.mark.parametrize("engine", ["openvino", "pipeline"])
def test_a_model_is_served_where_nothing_can_be_written(
    traced: str, tmp_path: Path, engine: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNWRITABLE, traced, engine, str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        env=environment({"HOME": "/nowhere"}),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1"
    assert ("cache_unwritable" in done.stdout + done.stderr) == (engine == "openvino")


def test_a_folder_in_a_home_that_nobody_knows_is_missing() -> None:
    with pytest.raises(ModelUnusable, match="does not exist: check --model"):
        find_model("~no-such-user/model", None, allow_pickle=False)
