"""Read a model's folder as a torch model and its transformers tokenizer."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import torch
import transformers

from valence_service.backends.source import (
    ModelUnusable,
    check_vocabulary,
    least_limit,
    max_positions,
)

if TYPE_CHECKING:
    from valence_service.backends.source import ModelFolder

# Some of these models have a head of the same names and shapes as a text classifier.
_OTHER_TASKS = ("ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")


def read_model(folder: ModelFolder, *, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Return the model in eval mode and its tokenizer. Raise ModelUnusable."""
    _do_without_temporary_folder()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    _check_task(folder)
    tokenizer = _read_tokenizer(folder)
    try:
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder.path,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, in words
            use_safetensors=not folder.pickled,
            trust_remote_code=False,  # else it asks the terminal whether to run the model's code
        )
    except Exception as error:
        raise ModelUnusable(
            f"cannot load the model in {folder.path}: is it a complete Hugging Face folder of a "
            f"text classifier? ({_reason(error)})"
        ) from error
    if report["missing_keys"]:
        # transformers would fill the head with random numbers, and compute answers with them.
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelUnusable(
            f"{folder.name} is not a text classifier: its weights lack {missing}; "
            "give a model that was trained for text classification"
        )
    if report["mismatched_keys"]:
        name, in_weights, in_model = sorted(report["mismatched_keys"])[0]
        raise ModelUnusable(
            f"{folder.path / 'config.json'} makes {name} of shape {list(in_model)}, and the "
            f"weights have {list(in_weights)}: correct it (num_labels and id2label give the "
            "number of labels), or take the weights that belong to it"
        )
    return model.eval(), tokenizer


def _check_task(folder: ModelFolder) -> None:
    """Raise ModelUnusable for a model of another task: its head may fit all the same."""
    for name in folder.config.get("architectures") or ():
        if str(name).endswith(_OTHER_TASKS):
            raise ModelUnusable(
                f"{folder.name} is not a text classifier: config.json, architectures says {name}; "
                "give a model that was trained for text classification"
            )


def _read_tokenizer(folder: ModelFolder) -> Any:
    """Return the transformers tokenizer. Raise ModelUnusable."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path, trust_remote_code=False)
    except Exception as error:
        raise ModelUnusable(
            f"cannot load the tokenizer in {folder.path}: is tokenizer.json there and whole, and "
            f"no newer than this tokenizers library? ({_reason(error)})"
        ) from error
    # Where the files are missing transformers makes a tokenizer without words, and no text would
    # have a known one.
    if tokenizer.get_vocab().keys() <= {*tokenizer.all_special_tokens}:
        files = " or ".join(sorted(tokenizer.vocab_files_names.values()))
        raise ModelUnusable(
            f"the tokenizer in {folder.path} has no words: {files} is missing; save_pretrained of "
            "the model's tokenizer writes it"
        )
    check_vocabulary(tokenizer.vocab_size, folder)
    # The contract promises the beginning of a text that is too long, whatever the files say.
    tokenizer.truncation_side = "right"
    return tokenizer


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _do_without_temporary_folder() -> None:
    """Let torch import its compiler on a read-only machine.

    The import needs a folder for compiled code that exists or can be made. Nothing is compiled
    here, so nothing is written there.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.sep)


def max_tokens(model: Any, tokenizer: Any) -> int:
    """Return the most tokens of a text that the model reads, its special tokens included."""
    positions = max_positions(model.config.to_dict(), unused=_first_position(model))
    return least_limit((tokenizer.model_max_length, positions))


def _first_position(model: Any) -> int:
    """Return the number of positions without a token: RoBERTa numbers tokens from its pad id on."""
    for name, module in model.named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            return int(module.padding_idx) + 1
    return 0


def pads(model: Any, tokenizer: Any) -> bool:
    """Return whether texts can share a micro-batch: some decoders have no padding token.

    Configurations write none as None or -1.
    """
    pad_id = model.config.pad_token_id
    return tokenizer.pad_token_id is not None and pad_id is not None and pad_id >= 0
