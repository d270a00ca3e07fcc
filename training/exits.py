"""A classifier that also answers after some of its lower layers.

Each exit is a head: the mean of the tokens' vectors, a dense layer, tanh, and a layer of one logit
for each label. The last head reads the first token's vector instead, but that one hardly differs
between texts before the fourth layer. ``exits.safetensors`` holds the heads in the model's folder,
and the entry ``exits`` of ``config.json`` lists the layers. Transformers reads neither, so its
pipeline computes the full depth.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from training.base import read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

HEADS = "exits.safetensors"


class Head(torch.nn.Module):
    """Answer from the vectors of one layer."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(width, width)
        self.classifier = torch.nn.Linear(width, labels)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits [texts, labels] for vectors [texts, tokens, width]."""
        real = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * real).sum(dim=1) / real.sum(dim=1)
        logits: torch.Tensor = self.classifier(torch.tanh(self.dense(mean)))
        return logits


class WithExits(torch.nn.Module):
    """A model and its exits' heads."""

    def __init__(self, model: PreTrainedModel, layers: tuple[int, ...]) -> None:
        """Add a head after each of the layers, which count from 1."""
        super().__init__()
        self.model = model
        width, labels = model.config.hidden_size, model.config.num_labels
        self.heads = torch.nn.ModuleDict({str(layer): Head(width, labels) for layer in layers})

    @property
    def depths(self) -> list[int]:
        """The layers computed for each answer, lowest first."""
        return [*map(int, self.heads), self.model.config.num_hidden_layers]

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits at each of the depths."""
        said = self.model(
            input_ids=ids, attention_mask=mask, output_hidden_states=len(self.heads) > 0
        )
        exits = [head(said.hidden_states[int(layer)], mask) for layer, head in self.heads.items()]
        return [*exits, said.logits]


def save(
    answering: WithExits,
    tokenizer: Tokenizer,
    *,
    settings: Path,
    out: Path,
    temperatures: list[float],
    confidence: float,
) -> None:
    """Save a Hugging Face folder in fp16, its exits beside it.

    Each depth's temperature is folded into its head, so that a plain softmax gives calibrated
    probabilities in every runtime. ``settings`` is the tokenizer's ``tokenizer_config.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    *of_exits, of_last = temperatures
    model = answering.model
    state = _cooled(model.state_dict(), {"classifier.": of_last})
    model.save_pretrained(out, state_dict=state)
    layers = list(answering.heads)
    folded = {f"{layer}.classifier.": by for layer, by in zip(layers, of_exits, strict=True)}
    save_file(_cooled(answering.heads.state_dict(), folded), out / HEADS)
    config = json.loads((out / "config.json").read_text())
    # Stored in half the bytes, computed in full: a CPU is slow and less exact in fp16.
    config |= {"dtype": "float32", "problem_type": "single_label_classification"}
    config["attention_probs_dropout_prob"] = 0.1
    config.pop("_name_or_path", None)
    config["exits"] = {"layers": [int(layer) for layer in layers], "confidence": confidence}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save(str(out / "tokenizer.json"))
    shutil.copyfile(settings, out / "tokenizer_config.json")
    for name in ("model.safetensors", HEADS):
        (out / name).chmod(0o644)  # safetensors makes them readable to their owner alone


def load(folder: Path) -> tuple[WithExits, Tokenizer]:
    """Return the folder's model in float32 with its exits, and its tokenizer."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    exits = getattr(model.config, "exits", None)
    if exits is None:
        raise SystemExit(f"{folder}/config.json lists no exits: make train makes a model that has")
    answering = WithExits(model, tuple(exits["layers"]))
    heads = load_file(folder / HEADS)
    answering.heads.load_state_dict({name: value.float() for name, value in heads.items()})
    return answering.eval(), read_tokenizer(folder)


def _cooled(
    state: dict[str, torch.Tensor], temperatures: dict[str, float]
) -> dict[str, torch.Tensor]:
    """Return the weights in fp16; those whose names begin so are divided by a temperature."""
    cooled = {}
    for name, value in state.items():
        temperature = next((by for start, by in temperatures.items() if name.startswith(start)), 1)
        cooled[name] = (value.detach() / temperature).half().contiguous()
    return cooled
