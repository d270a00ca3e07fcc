"""A model in OpenVINO's form: ready-made in its folder, from the cache, or converted now."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import openvino
import structlog
from tokenizers import Tokenizer

from valence_service.backends.selection import PIPELINE_EXTRA, can_convert
from valence_service.backends.source import ModelFolder, ModelUnusable, least_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

XML = "openvino_model.xml"
INT8_XML = "openvino_model_qint8.xml"
_FACTS = "valence.json"
# Model families that number the positions of tokens from the padding token's id on.
_OFFSET_FAMILIES = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a tokenizer's file and a compiled model do not say."""

    max_tokens: int
    """The most tokens of a text that the model reads, its special tokens included."""
    pad_id: int | None
    """The token that fills up the shorter texts of a pass; None where texts go alone."""
    pad_left: bool


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A model that OpenVINO can compile, and what belongs to it."""

    model: openvino.Model
    tokenizer: str
    """As tokenizer.json."""
    input_spec: InputSpec


def int8_xml(folder: ModelFolder) -> Path | None:
    """The int8 form that a model's folder carries, if it does."""
    return next(_ready(folder, INT8_XML), None)


def prepare(
    folder: ModelFolder, precision: str, cache_dir: Path, *, must_keep: bool = False
) -> ModelArtifact:
    """The model for a precision; converted, and kept in cache_dir, where nothing is ready-made.

    Blocks, for some seconds where it converts. Raises ModelUnusable; where the cache cannot be
    written, only if it must_keep.
    """
    ready = next(_ready(folder, INT8_XML if precision == "int8" else XML), None)
    if ready is not None:
        return _read_ready(folder, ready)
    # Another version's conversion may differ, and a newer file may not be read by an older one.
    version = openvino.__version__.split("-")[0]
    made_of = f"{folder.digest[:32]}-{folder.settings_digest[:8]}"
    entry = cache_dir / f"{made_of}-openvino-{version}-{precision}"
    if entry.exists():
        try:
            return _read_entry(entry)
        except Exception as error:  # of three libraries; whatever it is, a new one is the cure
            log.warning("cache_broken", entry=str(entry), reason=str(error)[:200])
            shutil.rmtree(entry, ignore_errors=True)
    if not can_convert():
        raise ModelUnusable(
            f"{folder.name} carries no OpenVINO form for {precision}, and to convert it torch and "
            f"transformers are needed: {PIPELINE_EXTRA}"
        )
    from valence_service.backends.conversion import convert

    prepared = convert(folder)
    try:
        _write_entry(prepared, entry)
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
    return prepared


def _ready(folder: ModelFolder, file: str) -> Iterator[Path]:
    """Where exporters put a compiled form: beside the weights, or in a folder of its own."""
    for path in (folder.path / "openvino" / file, folder.path / file):
        if path.exists():
            yield path


def _read_ready(folder: ModelFolder, xml: Path) -> ModelArtifact:
    path = folder.path / "tokenizer.json"
    try:
        tokenizer = path.read_text(encoding="utf-8")
        return ModelArtifact(
            _read_xml(xml), tokenizer, _input_spec(folder, Tokenizer.from_str(tokenizer))
        )
    except Exception as error:
        # tokenizers raises plain Exception, openvino RuntimeError.
        reason = " ".join(str(error).split())[:300]
        raise ModelUnusable(f"cannot read {xml} with {path.name}: {reason}") from error


def _input_spec(folder: ModelFolder, tokenizer: Tokenizer) -> InputSpec:
    """As far as configuration files know."""
    config, settings = folder.config, folder.tokenizer_config
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in _OFFSET_FAMILIES:
        positions -= config.get("pad_token_id", 1) + 1
    pad = settings.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    return InputSpec(
        max_tokens=int(least_limit((positions, settings.get("model_max_length")))),
        pad_id=config.get("pad_token_id", tokenizer.token_to_id(pad) if pad else None),
        pad_left=settings.get("padding_side") == "left",
    )


def _read_xml(xml: Path) -> openvino.Model:
    # The weights are mapped, not read: processes of one machine share them.
    return openvino.Core().read_model(xml)


def _read_entry(entry: Path) -> ModelArtifact:
    tokenizer = (entry / "tokenizer.json").read_text(encoding="utf-8")
    Tokenizer.from_str(tokenizer)  # fail here, where the entry can be made again
    input_spec = InputSpec(**json.loads((entry / _FACTS).read_text()))
    return ModelArtifact(_read_xml(entry / XML), tokenizer, input_spec)


def _write_entry(prepared: ModelArtifact, entry: Path) -> None:
    """All of it or nothing: written beside, then renamed. The first of two writers wins."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        openvino.save_model(prepared.model, beside / XML, compress_to_fp16=False)
        (beside / "tokenizer.json").write_text(prepared.tokenizer, encoding="utf-8")
        (beside / _FACTS).write_text(json.dumps(asdict(prepared.input_spec)))
        beside.chmod(0o755)
        if not entry.exists():
            beside.rename(entry)
    except OSError:
        if not entry.exists():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
