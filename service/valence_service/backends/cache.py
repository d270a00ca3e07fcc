"""The conversions that are kept on disk, so that only a model's first start converts it."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import openvino
import structlog
from tokenizers import Tokenizer

from valence_service.backends.artifact import (
    XML,
    InputSpec,
    ModelArtifact,
    read_graph,
    read_ready_made,
)
from valence_service.backends.selection import PIPELINE_EXTRA, can_convert
from valence_service.backends.source import ModelUnusable

if TYPE_CHECKING:
    from valence_service.backends.source import ModelFolder

_INPUT_SPEC = "valence.json"
log = structlog.get_logger()


def prepare_artifact(
    folder: ModelFolder, precision: str, cache_dir: Path, *, must_keep: bool = False
) -> ModelArtifact:
    """Return the model for a precision: ready-made, from the cache, or converted and cached now.

    Block, for some seconds where it converts. Raise ModelUnusable; where the cache cannot be
    written, only if it must_keep.
    """
    ready_made = read_ready_made(folder, precision)
    if ready_made is not None:
        return ready_made
    # Another version's conversion may differ, and a newer file may not be read by an older one.
    version = openvino.__version__.split("-")[0]
    made_of = f"{folder.digest[:32]}-{folder.settings_digest[:8]}"
    entry = cache_dir / f"{made_of}-openvino-{version}-{precision}"
    if entry.exists():
        try:
            return _read(entry)
        except Exception as error:  # of three libraries; whatever it is, a new one is the cure
            log.warning("cache_broken", entry=str(entry), reason=str(error)[:200])
            shutil.rmtree(entry, ignore_errors=True)
    if not can_convert():
        raise ModelUnusable(
            f"{folder.name} carries no OpenVINO form for {precision}, and to convert it torch and "
            f"transformers are needed: {PIPELINE_EXTRA}"
        )
    from valence_service.backends import conversion

    artifact = conversion.convert(folder)
    try:
        _write(artifact, entry)
    except OSError as error:
        if must_keep:
            raise ModelUnusable(
                f"cannot write to {cache_dir}: {error.strerror or error}; "
                "choose another folder with --cache-dir"
            ) from error
        log.warning(
            "cache_unwritable",
            folder=str(cache_dir),
            reason=error.strerror or str(error),
            hint="every start will convert again; choose another with --cache-dir",
        )
    return artifact


def _read(entry: Path) -> ModelArtifact:
    tokenizer = (entry / "tokenizer.json").read_text(encoding="utf-8")
    Tokenizer.from_str(tokenizer)  # fail here, where the entry can be made again
    input_spec = InputSpec(**json.loads((entry / _INPUT_SPEC).read_text()))
    return ModelArtifact(read_graph(entry / XML), tokenizer, input_spec)


def _write(artifact: ModelArtifact, entry: Path) -> None:
    """Write all of an entry or nothing: beside it, then renamed. The first of two writers wins."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        openvino.save_model(artifact.model, beside / XML, compress_to_fp16=False)
        (beside / "tokenizer.json").write_text(artifact.tokenizer, encoding="utf-8")
        (beside / _INPUT_SPEC).write_text(json.dumps(asdict(artifact.input_spec)))
        beside.chmod(0o755)
        if not entry.exists():
            beside.rename(entry)
    except OSError:
        if not entry.exists():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
