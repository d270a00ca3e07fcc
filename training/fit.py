"""Fit a model to batches, in steps that a stopped machine does not lose."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

if TYPE_CHECKING:
    from pathlib import Path

    from training.batches import Batch
    from training.exits import WithExits
    from training.recipe import Run

WARMUP_FRACTION = 0.06
WEIGHT_DECAY = 0.01
DROPPED = 26  # of 256: the bases were trained with dropout 0.1
# An exit learns from the labels and, as much, from what the last layer says.
EXIT_WEIGHT = 0.3
# The exits' heads begin from nothing, so they learn at so many times the rate of the other weights.
HEADS_SHARE = 5.0
CHECKPOINT_SECONDS = 240

NEGATIVE, NEUTRAL, POSITIVE = range(3)


class ByteDropout(torch.nn.Module):
    """Dropout of DROPPED in 256 values, drawn as bytes.

    On a CPU, torch's own dropout draws with one thread and takes a quarter of a training step. A
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


def loss_of_labels(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean loss of both questions: whether a text is neutral, and which side it has."""
    sides = torch.stack((logits[:, NEGATIVE], logits[:, POSITIVE]), dim=1)
    neutral = logits[:, NEUTRAL] - sides.logsumexp(dim=1)
    positive = logits[:, POSITIVE] - logits[:, NEGATIVE]
    cross_entropy = functional.binary_cross_entropy_with_logits
    of_neutral = cross_entropy(neutral, batch.neutral, reduction="none")
    of_side = cross_entropy(positive, batch.positive, reduction="none")
    return (batch.neutral_weight * of_neutral + batch.positive_weight * of_side).mean()


def loss(answers: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """Return the loss of the last answer and, with less weight, of each exit."""
    *exits, last = (logits.float() for logits in answers)
    total = loss_of_labels(last, batch)
    taught = last.detach().softmax(dim=1)
    for logits in exits:
        distilled = functional.cross_entropy(logits, taught)
        total = total + EXIT_WEIGHT * (loss_of_labels(logits, batch) + distilled) / 2
    return total


def learning_rate(run: Run, step: int, steps: int) -> float:
    """Return the rate of a step: it rises in the warm-up, then falls to the final rate."""
    warmup = round(steps * WARMUP_FRACTION)
    if step < warmup:
        return run.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return run.learning_rate + done * (run.final_learning_rate - run.learning_rate)


def parameter_groups(model: WithExits, run: Run) -> list[dict[str, Any]]:
    """Return the parameters that learn, each with its ``share`` of the learning rate."""
    layers = model.model.config.num_hidden_layers
    groups = []
    for name, parameter in model.named_parameters():
        found = re.search(r"\.layer\.(\d+)\.", name)
        layer = int(found[1]) if found else 0 if ".embeddings." in name else layers
        # Positions' biases belong to every layer of MPNet, so they stay with the lowest.
        layer = 0 if "relative_attention_bias" in name else layer
        if name.startswith("heads."):
            groups.append({"params": [parameter], "share": HEADS_SHARE})
        elif run.frozen_layers and layer < run.frozen_layers:
            parameter.requires_grad_(False)
        else:
            groups.append({"params": [parameter], "share": run.layer_decay ** (layers - layer)})
    return groups


class _Checkpoint:
    """Where a run stands: weights, optimizer, batches done, and the state of chance."""

    def __init__(self, path: Path, model: WithExits, optimizer: torch.optim.Optimizer) -> None:
        self._path = path
        self._learning = {k: v for k, v in model.named_parameters() if v.requires_grad}
        self._optimizer = optimizer

    def save(self, done: int, rng: np.random.Generator) -> None:
        write(
            self._path,
            {
                "done": done,
                "rng": rng.bit_generator.state,
                "weights": {name: value.detach() for name, value in self._learning.items()},
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def load(self, rng: np.random.Generator) -> int:
        """Return the number of batches done, after the rest is as it was then."""
        if not self._path.exists():
            return 0
        saved = torch.load(self._path, weights_only=False)
        with torch.no_grad():
            for name, value in self._learning.items():
                value.copy_(saved["weights"][name])
        self._optimizer.load_state_dict(saved["optimizer"])
        rng.bit_generator.state = saved["rng"]
        return int(saved["done"])


def write(path: Path, content: object) -> None:
    """Write a file that is whole whenever it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def use_byte_dropout(model: torch.nn.Module, rng: np.random.Generator) -> None:
    """Replace every dropout that drops anything, also one that an earlier run put there."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            plain = isinstance(child, torch.nn.Dropout) and child.p > 0
            if plain or isinstance(child, ByteDropout):
                setattr(module, name, ByteDropout(rng))


def fit(model: WithExits, run: Run, batched: list[Batch], checkpoint: Path) -> None:
    """Train the model on the batches, from where the checkpoint stands."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(run.seed)
    rng = np.random.Generator(np.random.SFC64(run.seed))
    if device.type == "cpu":
        use_byte_dropout(model, rng)
    model.to(device).train()
    groups = parameter_groups(model, run)
    learning = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, run.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    keeper = _Checkpoint(checkpoint, model, optimizer)
    done = keeper.load(rng)
    steps, saved = len(batched), time.monotonic()
    # A processor without bf16 instructions only loses time with it.
    half = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    every = 0.5 if sys.stderr.isatty() else 30
    with tqdm(
        total=steps, initial=done, unit="batch", smoothing=0.02, desc=run.name, mininterval=every
    ) as bar:
        for step in range(done, steps):
            batch = batched[step].to(device)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(run, step, steps) * group["share"]
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                answers = model(batch.ids, batch.mask)
            total = loss(answers, batch)
            total.backward()  # type: ignore[no-untyped-call]  # torch types it not
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            bar.set_postfix(loss=f"{total.item():.3f}", refresh=False)
            bar.update()
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                keeper.save(step + 1, rng)
                saved = time.monotonic()
    model.cpu().eval()
