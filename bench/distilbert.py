"""The model of the tutorial as it is written: transformers' default for sentiment analysis.

That is a DistilBERT: six layers of 768 columns. Here it has random weights, since speed does not
depend on them, and the embedded model's tokenizer.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = ("tokenizer.json", "tokenizer_config.json")


def make(folder: Path, tokenizer: Path) -> Path:
    """Make the model in a folder, unless it is there, and return the folder."""
    if (folder / "config.json").exists():
        return folder
    import torch
    import transformers

    torch.manual_seed(0)
    labels = ["NEGATIVE", "POSITIVE"]
    model = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(
            id2label=dict(enumerate(labels)), label2id={name: n for n, name in enumerate(labels)}
        )
    )
    with torch.no_grad():
        # Every text is POSITIVE, as the benchmark asks a server before it measures it.
        model.classifier.bias.copy_(torch.tensor([0.0, 4.0]))
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(tokenizer / name, folder / name)
    model.save_pretrained(folder)
    return folder
