"""A folder's model for OpenVINO: ready-made, built, or converted once and kept on disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
import weakref
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

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
from valence_service.backends.bert_build import build_artifact
from valence_service.backends.bert_family import CannotBuild
from valence_service.backends.selection import PIPELINE_EXTRA, can_convert
from valence_service.backends.source import ModelUnavailable, ModelUnusable

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from valence_service.backends.source import ModelFolder

_RECORD = "valence.json"
_ENTRY = re.compile(r"(?P<model>[0-9a-f]{32}-[0-9a-f]{8})-openvino-[\w.]+-(?P<precision>[\w-]+)")
_UNFINISHED = re.compile(r"\.new-[a-z0-9_]{8}")
_DAY = 24 * 60 * 60.0
# An unused conversion is removed after this time. One for another version of OpenVINO goes sooner,
# but not at once: an operator may go back to that version.
UNUSED_SECONDS = 30 * _DAY
SUPERSEDED_SECONDS = 7 * _DAY
# A process that writes a conversion is done by then, or was killed.
UNFINISHED_SECONDS = _DAY
log = structlog.get_logger()


def prepare_artifact(
    folder: ModelFolder,
    precision: str,
    cache_dir: Path,
    *,
    check_tokens: int | None,
    exits: tuple[int, ...] = (),
    must_keep: bool = False,
) -> ModelArtifact:
    """Return the model for a precision: ready-made, built, from the cache, or converted now.

    Keep a conversion only if it answers like torch, on texts of up to check_tokens (None: any).
    Block, for some seconds where it converts. Raise ModelUnusable; where the cache cannot be
    written, only if it must_keep. It has ``exits`` after these layers where the form has heads
    there: a conversion has none.
    """
    ready_made = read_ready_made(folder, precision, exits)
    if ready_made is not None:
        return ready_made
    try:
        return build_artifact(folder, exits)
    except CannotBuild as error:
        why = str(error)
    # Another version's conversion may differ, and a newer file may not be read by an older one.
    version = openvino.__version__.split("-")[0]
    made_of = f"{folder.digest[:32]}-{folder.settings_digest[:8]}"
    # What was kept without a check is not taken for checked.
    unchecked = "-unchecked" if check_tokens is None else ""
    entry = cache_dir / f"{made_of}-openvino-{version}-{precision}{unchecked}"
    cached = _read_or_remove(entry)
    if cached is not None:
        return cached
    if not can_convert():
        raise ModelUnusable(
            f"{folder.name} carries no OpenVINO form for {precision}, and to convert it torch and "
            f"transformers are needed, since {why}: {PIPELINE_EXTRA}"
        )
    from valence_service.backends import conversion

    log.info("tracing", model=folder.name, reason=why)
    artifact = conversion.convert(folder, check_tokens=check_tokens)
    try:
        _write(artifact, entry)
    except OSError as error:
        if must_keep:
            raise ModelUnavailable(
                f"cannot write to {cache_dir}: {error.strerror or error}; "
                "choose another folder with --cache-dir"
            ) from error
        log.warning(
            "cache_unwritable",
            folder=str(cache_dir),
            reason=error.strerror or str(error),
            hint="every start converts again, and the weights stay in memory twice; choose "
            "another folder with --cache-dir",
        )
        return artifact
    with suppress(OSError):  # a folder that cannot be listed
        _prune(written=entry)
    # The file's weights are mapped; the conversion's would stay in memory beside the compiled ones.
    return _read_or_remove(entry) or artifact


def _read_or_remove(entry: Path) -> ModelArtifact | None:
    """Read an entry; None where there is none. Remove a broken one: a new conversion mends it."""
    try:
        return _read(entry) if entry.exists() else None
    except Exception as error:  # of three libraries
        # A machine without memory or file handles breaks no entry.
        transient = isinstance(error, OSError | MemoryError)
        broken = not transient or isinstance(error, FileNotFoundError)
        log.warning("cache_broken", entry=str(entry), reason=str(error)[:200], removed=broken)
        if broken:
            shutil.rmtree(entry, ignore_errors=True)
        return None


def _read(entry: Path) -> ModelArtifact:
    """Read an entry, and hold it for as long as its model lives."""
    with suppress(OSError):  # a folder that cannot be written
        os.utime(entry)
    with ExitStack() as files:
        file = files.enter_context((entry / _RECORD).open("rb"))
        with suppress(OSError):  # a file system without locks
            _lock(file, exclusive=False)
        record = json.load(file)
        input_spec = InputSpec(**record["input"])
        tokenizer = (entry / "tokenizer.json").read_text(encoding="utf-8")
        Tokenizer.from_str(tokenizer)  # fail here, where the entry can be made again
        model = read_graph(entry / XML)
        weakref.finalize(model, files.pop_all().close)
    return ModelArtifact(model, tokenizer, input_spec, known=record["known"])


def _write(artifact: ModelArtifact, entry: Path) -> None:
    """Write all of an entry or nothing: beside it, then renamed. The first of two writers wins."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        try:
            openvino.save_model(artifact.model, beside / XML, compress_to_fp16=False)
        except RuntimeError as error:  # where the disk is full, say
            raise OSError(f"OpenVINO cannot write: {error}") from error
        (beside / "tokenizer.json").write_text(artifact.tokenizer, encoding="utf-8")
        record = {"input": asdict(artifact.input_spec), "known": artifact.known}
        (beside / _RECORD).write_text(json.dumps(record))
        beside.chmod(0o755)
        if not entry.exists():
            beside.rename(entry)
    except OSError:
        if not entry.exists():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _prune(*, written: Path) -> None:
    """Remove what nobody uses from the folder of the entry just written."""
    ours = _ENTRY.fullmatch(written.name)
    now = time.time()
    for path in written.parent.iterdir():
        entry = _ENTRY.fullmatch(path.name)
        if entry and ours and entry.groups() == ours.groups():
            keep_seconds = SUPERSEDED_SECONDS
        elif entry:
            keep_seconds = UNUSED_SECONDS
        elif _UNFINISHED.fullmatch(path.name):
            keep_seconds = UNFINISHED_SECONDS
        else:
            continue  # someone else's
        with suppress(OSError):  # another process was quicker
            unused_seconds = now - path.stat().st_mtime
            if path != written and unused_seconds > keep_seconds and not _held(path):
                shutil.rmtree(path)
                log.info("cache_pruned", removed=str(path), unused_days=int(unused_seconds / _DAY))


def _held(entry: Path) -> bool:
    """Return whether a running process may compute what it mapped from an entry."""
    try:
        with (entry / _RECORD).open("r+b") as file:
            _lock(file, exclusive=True)
    except FileNotFoundError:
        return False  # half written, or half removed
    except OSError:
        return True
    return False


def _lock(file: IO[bytes], *, exclusive: bool) -> None:
    """Lock a file until it is closed. Raise OSError where another process has it locked.

    Windows needs no lock: it removes no file that a process has mapped.
    """
    if sys.platform != "win32":
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
