"""Fetch a model by its name on the hub."""

from __future__ import annotations

import sys
from pathlib import Path

from valence_service.backends.integrity import ModelUnavailable, ModelUnusable, ready_made_of

# The files of a text classifier; other frameworks' weights stay on the hub. Some tokenizers have
# files with endings of their own: BERTweet's bpe.codes, ProphetNet's prophetnet.tokenizer.
SETTINGS = ("*.json", "*.txt", "*.model", "*.codes", "*.tokenizer", "*.tiktoken")
_FILES = (
    *SETTINGS,
    *("model*.safetensors", "exits.safetensors", "openvino_model*", "openvino/*"),
)
_PICKLES = "pytorch_model*.bin"


def download(name: str, revision: str | None, *, allow_pickle: bool) -> Path:
    """Return the folder of a model, named after its commit. Raise ModelUnusable."""
    import huggingface_hub
    from huggingface_hub import errors
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        folder = Path(
            huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=[*_FILES])
        )
        if allow_pickle and not (any(folder.glob("model*.safetensors")) or ready_made_of(folder)):
            huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=[_PICKLES])
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if _is_or_hides(error, errors.RepositoryNotFoundError, errors.HFValidationError):
            raise ModelUnusable(
                f"is neither a folder here nor a public model of the hub: check its spelling; for "
                f"a private model set HF_TOKEN ({reason})"
            ) from error
        if _is_or_hides(error, errors.RevisionNotFoundError):
            raise ModelUnusable(
                f"{name} has no such commit, branch or tag ({reason})", setting="revision"
            ) from error
        raise ModelUnavailable(
            f"cannot load the hub's {name}: check its name, --revision and the connection, or "
            f"give a folder ({reason})"
        ) from error
    return folder


def _is_or_hides(error: Exception, *kinds: type[Exception]) -> bool:
    """Return whether an error is of a kind, or hides one: no earlier download was found."""
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)
