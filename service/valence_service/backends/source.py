"""Find a model's files: a folder, the hub's copy on this disk, or the embedded model."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import valence_model

from valence_service.backends.hub import SETTINGS, download
from valence_service.backends.integrity import (
    ModelUnavailable,
    ModelUnusable,
    check_file,
    check_weights,
    check_whole_model,
    read_json,
    ready_made_of,
    weights_of,
)
from valence_service.backends.labels import label_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "CannotConvert",
    "ModelFolder",
    "ModelUnavailable",
    "ModelUnusable",
    "check_unchanged",
    "check_vocabulary",
    "find_model",
    "least_limit",
    "max_positions",
]

# The limit where neither tokenizer nor configuration has one: attention is quadratic.
MAX_TOKENS_WITHOUT_LIMIT = 512
# Larger numbers stand for no limit.
NO_LIMIT = 10**9
# What configurations call the number of positions: most of them, GPT-2's kin, and MPT.
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


class CannotConvert(ModelUnusable):
    """OpenVINO cannot convert the model; the pipeline may compute it."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """An ordinary Hugging Face folder, its weights read to the end once."""

    path: Path
    name: str
    """The hub's, or the folder's."""
    revision: str
    """The hub's commit, or the first digits of ``digest``."""
    digest: str
    """SHA-256 of the weights, and of the OpenVINO forms and exits beside them, hexadecimal."""
    settings_digest: str
    """SHA-256 of its configuration and its tokenizer."""
    pickled: bool
    """Whether the weights are pickles, which can run code when they are loaded."""
    config: Mapping[str, Any]
    label_names: Sequence[str]
    """In the order of the model's outputs."""
    tokenizer_config: Mapping[str, Any]

    @property
    def activation(self) -> str:
        """Return ``softmax``, ``sigmoid`` or ``none``, as transformers' pipeline chooses it."""
        problem_type = self.config.get("problem_type")
        if problem_type == "regression":
            return "none"
        if problem_type == "multi_label_classification" or len(self.label_names) == 1:
            return "sigmoid"
        return "softmax"


def find_model(name: str | None, revision: str | None, *, allow_pickle: bool) -> ModelFolder:
    """Find the folder of a model by path or hub name; None is the embedded model.

    Accept weights that are pickles only with allow_pickle. Block while it downloads. Raise
    ModelUnusable.
    """
    if name is None:
        path, called, commit = Path(valence_model.path()), valence_model.NAME, None
    elif _is_path(name):
        if revision is not None:
            raise ModelUnusable(
                f"{name} is a folder, and only a model of the hub has revisions: leave it out",
                setting="revision",
            )
        path = _expanded(name)
        called, commit = path.resolve().name, None
    else:
        path = download(name, revision, allow_pickle=allow_pickle)
        called, commit = name, path.name  # the hub's cache names a folder after its commit
    return _read(path, called, commit, allow_pickle=allow_pickle)


def check_unchanged(folder: ModelFolder) -> None:
    """Raise ModelUnusable if the weights on disk are no longer those that were found."""
    if _digest(_computed(folder.path)) != folder.digest:
        raise ModelUnusable(
            f"the weights in {folder.path} have changed since the start: restart to serve them"
        )


def _expanded(name: str) -> Path:
    # Path.expanduser raises for a user without a home.
    return Path(os.path.expanduser(name))  # noqa: PTH111


def _is_path(name: str) -> bool:
    return (
        os.path.exists(_expanded(name))  # noqa: PTH110  # Path's raises for a name that is too long
        or name.startswith((".", "/", "~"))
        or name.count("/") > 1  # a hub name has an owner at most
    )


def _read(path: Path, name: str, commit: str | None, *, allow_pickle: bool) -> ModelFolder:
    """Read and check a folder. Raise ModelUnusable."""
    try:
        if not path.is_dir():
            problem = "is a file, not a folder" if path.exists() else "does not exist"
            raise ModelUnusable(f"the model folder {path} {problem}: check --model")
        config = _config(path)
        weights = check_weights(path)
        pickled = weights[0].suffix == ".bin" and not weights[0].name.startswith("openvino")
        if pickled and not allow_pickle:
            raise ModelUnusable(
                f"the weights in {path} are pickles, which can run code when they are loaded: use "
                "a model with safetensors, or --allow-pickle if you trust this one"
            )
        settings = sorted(file for kind in SETTINGS for file in path.glob(kind) if file.is_file())
        for file in settings:
            check_file(file)
        digest = _digest(_computed(path))
        tokenizer_config = path / "tokenizer_config.json"
        return ModelFolder(
            path=path,
            name=name,
            revision=commit or digest[:12],
            digest=digest,
            settings_digest=_digest(settings, named=True),
            pickled=pickled,
            config=config,
            label_names=_label_names(path / "config.json", config),
            tokenizer_config=read_json(tokenizer_config) if tokenizer_config.exists() else {},
        )
    except FileNotFoundError as error:
        raise ModelUnusable(
            f"{error.filename} is missing, or a link to a missing file: is the model's folder "
            "complete?"
        ) from error
    except PermissionError as error:
        raise ModelUnusable(f"no permission to read {error.filename}: check its mode") from error
    except OSError as error:
        raise ModelUnusable(f"cannot read {error.filename}: {error.strerror}") from error


def _config(path: Path) -> dict[str, Any]:
    config = path / "config.json"
    check_whole_model(path)
    if not os.path.lexists(config):
        raise ModelUnusable(
            f"the folder {path} has no config.json: give a Hugging Face model folder"
        )
    return read_json(config)


def _label_names(path: Path, config: Mapping[str, Any]) -> list[str]:
    try:
        return label_names(config)
    except ValueError as error:
        raise ModelUnusable(f"{path}, {error}") from error


def _computed(path: Path) -> list[Path]:
    """Return the files whose numbers are computed, whichever engine and precision is chosen."""
    heads = path / "exits.safetensors"
    return list(
        dict.fromkeys(
            [*weights_of(path), *ready_made_of(path), *([heads] if heads.exists() else [])]
        )
    )


def _digest(files: Iterable[Path], *, named: bool = False) -> str:
    """Return the SHA-256 of the files' contents and, where ``named``, of their names."""
    digest = hashlib.sha256()
    for file in files:
        if named:
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def check_vocabulary(tokens: int, folder: ModelFolder) -> None:
    """Raise ModelUnusable where the tokenizer is another model's, with more tokens than this one.

    ``tokens`` leaves out added tokens: many models carry such ones and never see them. OpenVINO
    computes an unknown token as zeros, without a word.
    """
    known = folder.config.get("vocab_size")
    if isinstance(known, int) and tokens > known:
        raise ModelUnusable(
            f"the tokenizer in {folder.path} has {tokens} tokens, and the model knows {known} "
            "(config.json, vocab_size): take the tokenizer that belongs to the model"
        )


def least_limit(limits: Iterable[object]) -> int:
    """Return the least limit on a text's tokens.

    Libraries write no limit as nothing, None, 0, -1 (XLNet) or 10^30 (tokenizers).
    """
    known = (
        int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < NO_LIMIT
    )
    return min(known, default=MAX_TOKENS_WITHOUT_LIMIT)


def max_positions(config: Mapping[str, Any], *, unused: int = 0) -> int | None:
    """Return how many tokens a configuration has positions for; None where it sets no limit.

    ``unused`` is the number of positions that no token takes.
    """
    found = [config.get(name) for name in _POSITIONS]
    limits = [limit - unused for limit in found if isinstance(limit, int) and limit > 0]
    return min(limits, default=None)
