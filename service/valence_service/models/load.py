"""A name or a folder to classifiers, one for each worker."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import valence_model

from valence_service.models.labels import read_labels
from valence_service.sentiment import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from valence_service.sentiment import Classifier

# Where neither tokenizer nor configuration knows a limit. Attention is quadratic: some is needed.
MAX_TOKENS_WITHOUT_LIMIT = 512


class ModelUnusable(Exception):
    """The model cannot be served; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Which model, and how to read it."""

    name: str | None
    """A folder or a name on the hub; None is the embedded model."""
    revision: str | None
    device: str
    """``auto``, or what torch calls a device: ``cpu``, ``cuda``, ``cuda:1``."""
    label_valence: Mapping[str, float]


def load_classifiers(
    source: ModelSource, *, workers: int, max_pass_tokens: int
) -> Sequence[Classifier]:
    """Replicas of the model, as many as ``workers``.

    Blocks while it reads or downloads. Raises ModelUnusable.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers are the parallelism
    import torch
    import transformers

    from valence_service.models.pipeline import PipelineClassifier, build_pipeline

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    device = _device(source.device)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    # Passes of several replicas run at once: together they get the cores, and no more.
    torch.set_num_threads(max(1, cores // workers))

    classifiers = []
    for _ in range(workers):
        model, tokenizer = _read(source)
        info = _describe(source, model, tokenizer, device)
        pipeline = build_pipeline(model, tokenizer, device)
        classifiers.append(PipelineClassifier(info, pipeline, max_pass_tokens))
    return classifiers


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelUnusable(
            f"the device {wanted!r} is not here: use --device cpu, or auto"
        ) from error
    return "cuda:0" if wanted == "cuda" else wanted


def _read(source: ModelSource) -> tuple[Any, Any]:
    """The model in float32 and eval mode, and its tokenizer."""
    import torch
    import transformers

    name, folder = _locate(source.name)
    if folder is not None:
        _check_folder(folder)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=source.revision)
        # float32 whatever the file holds: on a CPU half precision is slower and less exact.
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            name, revision=source.revision, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:
        what = "the folder" if folder is not None else "the hub's"
        hint = (
            "is it a complete Hugging Face model folder?"
            if folder is not None
            else "check its name, --revision and the connection, or give a folder"
        )
        reason = " ".join(str(error).split())[:300]
        raise ModelUnusable(f"cannot load {what} {name}: {hint} ({reason})") from error
    if report["missing_keys"]:
        # transformers would fill the head with random numbers, and answer with them.
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelUnusable(
            f"{name} is not a text classifier: its weights lack {missing}; "
            "give a model that was trained for text classification"
        )
    return model.eval(), tokenizer


def _locate(name: str | None) -> tuple[str, Path | None]:
    """What transformers is to load, and its folder where it is one."""
    if name is None:
        return valence_model.path(), Path(valence_model.path())
    folder = Path(name).expanduser()
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        return str(folder), folder
    return name, None


def _check_folder(folder: Path) -> None:
    """Say plainly what transformers would say at length."""
    try:
        if not folder.is_dir():
            problem = "is a file, not a folder" if folder.exists() else "does not exist"
            raise ModelUnusable(f"the model folder {folder} {problem}: check --model")
        (folder / "config.json").read_bytes()
        for path in _weights(folder):
            path.open("rb").close()
    except PermissionError as error:
        raise ModelUnusable(f"no permission to read {error.filename}: check its mode") from error
    except FileNotFoundError as error:
        raise ModelUnusable(
            f"the folder {folder} has no config.json: give a Hugging Face model folder"
        ) from error
    if not _weights(folder):
        raise ModelUnusable(f"the folder {folder} has no weights (model.safetensors)")


def _describe(source: ModelSource, model: Any, tokenizer: Any, device: str) -> ModelInfo:
    config = model.config
    names = [config.id2label[index] for index in range(config.num_labels)]
    try:
        labels = read_labels(names, source.label_valence)
    except ValueError as error:
        raise ModelUnusable(f"--label-valence: {error}") from error
    name, folder = _locate(source.name)
    return ModelInfo(
        name=name if folder is None else folder.resolve().name,
        revision=_commit(name, source.revision) if folder is None else _digest(folder),
        labels=labels,
        max_tokens=_max_tokens(model, tokenizer),
        engine="pipeline",
        precision="f32",
        device=device,
    )


def _commit(name: str, revision: str | None) -> str:
    """The commit that a branch or tag of the hub's model stands for: its folder in the cache."""
    import transformers

    return Path(transformers.utils.cached_file(name, "config.json", revision=revision)).parent.name


def _weights(folder: Path) -> list[Path]:
    """The files that hold the model's weights, safetensors before pickles."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))


def _digest(folder: Path) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the folder's weights."""
    digest = hashlib.sha256()
    for path in _weights(folder):
        with path.open("rb") as weights:
            while chunk := weights.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:12]


def _max_tokens(model: Any, tokenizer: Any) -> int:
    """The most tokens of a text that the model reads, its special tokens included."""
    limits: list[int] = [tokenizer.model_max_length]
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions:
        limits.append(positions - _first_position(model))
    # Tokenizers without a limit say 10^30.
    return min((limit for limit in limits if limit < 10**9), default=MAX_TOKENS_WITHOUT_LIMIT)


def _first_position(model: Any) -> int:
    """Positions that carry no token: RoBERTa and its kin number them from the padding id on."""
    for name, module in model.named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            return int(module.padding_idx) + 1
    return 0
