"""Train the embedded model: ``make train DATA=folder``.

1. Two first runs fine-tune the base on labels. The mean of their weights after each epoch (Wortsman
   et al. 2022, arXiv:2203.05482) is better than any of them.
2. A teacher, five times as large, is fine-tuned on labels too. It gives targets for those texts and
   for sentences without a label (Hinton et al. 2015, arXiv:1503.02531).
3. Students continue from the mean over all of it. The mean of the students is the model.
4. One temperature calibrates the model (Guo et al. 2017, arXiv:1706.04599). It is folded into the
   last layer, so that a plain softmax gives the calibrated probability in every runtime.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import torch
from tqdm import tqdm

from training.base import base_folder, load_base, save, teacher_folder
from training.batches import batches
from training.data import dev_rows
from training.evaluate import compiled_form, logits_of, read_tokenizer, report, torch_form
from training.mixture import Example, LogOdds, Mixture, softened
from training.recipe import FIRST, STUDENTS, TEACHER, UNLABELLED, Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

SEED = 20_260
WARMUP_FRACTION = 0.06
WEIGHT_DECAY = 0.01
ASKED = 5_000  # texts between two steps of the progress bar
# Their texts resemble ordinary writing; on the adversarial sets the model would learn more doubt
# than ordinary text deserves.
TEMPERATURE_FILES = ("sst2_detok.dev", "cad_imdb.dev_original", "cad_imdb.dev_revised")

Weights = dict[str, Any]


def mean(weights: list[Weights]) -> Weights:
    """Return the mean of each tensor; for models from one base it is a model itself."""
    return {name: sum(each[name] for each in weights) / len(weights) for name in weights[0]}


def log_odds(model: PreTrainedModel, folder: Path) -> LogOdds:
    """Return the model in bf16 on OpenVINO; folder has its tokenizer."""
    ids = torch.ones(1, 8, dtype=torch.long)
    converted = openvino.convert_model(
        model.eval(), example_input={"input_ids": ids, "attention_mask": ids}
    )
    logits = compiled_form(folder, converted, "bf16")

    def of(texts: list[str]) -> np.ndarray:
        steps = tqdm(range(0, len(texts), ASKED), desc="asked")
        both = np.concatenate([np.empty((0, 2)), *(logits(texts[at : at + ASKED]) for at in steps)])
        return np.asarray(both[:, 1] - both[:, 0])

    return of


def learning_rate(run: Run, step: int, steps: int) -> float:
    """Return the rate of a step: it rises in the warm-up, then falls to the final rate."""
    warmup = round(steps * WARMUP_FRACTION)
    if step < warmup:
        return run.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return run.learning_rate + done * (run.final_learning_rate - run.learning_rate)


def parameter_groups(model: PreTrainedModel, run: Run) -> list[dict[str, Any]]:
    """Return the parameters that learn, each with its ``share`` of the learning rate."""
    layers = model.config.num_hidden_layers
    groups = []
    for name, parameter in model.named_parameters():
        found = re.search(r"\.layer\.(\d+)\.", name)
        layer = int(found[1]) if found else 0 if ".embeddings." in name else layers
        if run.frozen_layers and layer < run.frozen_layers:
            parameter.requires_grad_(False)
        else:
            groups.append({"params": [parameter], "share": run.layer_decay ** (layers - layer)})
    return groups


def train(
    model: PreTrainedModel, tokenizer: Tokenizer, run: Run, epochs: list[list[Example]]
) -> list[Weights]:
    """Train for a run's epochs, and return the weights after each."""
    torch.manual_seed(run.seed)
    rng = np.random.default_rng(run.seed)
    batched = [batches(examples, tokenizer, rng) for examples in epochs]
    groups = parameter_groups(model, run)
    learning = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, run.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    weights = []
    steps = sum(map(len, batched))
    with tqdm(total=steps, unit="batch", smoothing=0.02, desc=run.name) as bar:
        for epoch in batched:
            model.train()
            for batch in epoch:
                rate = learning_rate(run, int(bar.n), steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["share"]
                with torch.autocast("cpu", torch.bfloat16):
                    logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    (logits[:, 1] - logits[:, 0]).float(), batch.positive
                )
                loss.backward()  # type: ignore[no-untyped-call]  # torch types it not
                torch.nn.utils.clip_grad_norm_(learning, 1.0)
                optimizer.step()
                optimizer.zero_grad()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                bar.update()
            model.eval()
            weights.append({k: v.detach().clone() for k, v in model.state_dict().items()})
    return weights


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that minimises the mean negative log likelihood of labels."""

    def loss(temperature: float) -> float:
        margin = (logits[:, 1] - logits[:, 0]) / temperature * np.where(labels == 1, 1, -1)
        return float(np.logaddexp(0, -margin).mean())

    return float(min(np.arange(0.5, 4.0, 0.01), key=loss))


def temperature_of(model: PreTrainedModel, tokenizer: Tokenizer, data: Path) -> float:
    """Return the temperature that calibrates the model on TEMPERATURE_FILES."""
    rows = [dev_rows(data, name) for name in TEMPERATURE_FILES]
    logits = np.concatenate([logits_of(model, tokenizer, texts) for texts, _ in rows])
    return fit_temperature(logits, np.concatenate([labels for _, labels in rows]))


def main() -> None:
    """Train, save the model, and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    arguments = parser.parse_args()
    data: Path = arguments.data

    torch.manual_seed(SEED)
    base = base_folder()
    model, tokenizer = load_base(base, SEED), read_tokenizer(base)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    trained: list[Weights] = []
    for run in FIRST:
        model.load_state_dict(start)
        mixture = Mixture(data, run)
        trained += train(model, tokenizer, run, [mixture.epoch() for _ in range(run.epochs)])
    start = mean(trained)
    model.load_state_dict(start)

    with tempfile.TemporaryDirectory() as unpacked:
        folder = teacher_folder(Path(unpacked))
        teacher = load_base(folder, SEED)
        train(teacher, read_tokenizer(folder), TEACHER, [Mixture(data, TEACHER).epoch()])
        says = log_odds(teacher, folder)
    mixture = Mixture(data, STUDENTS[0])
    examples = softened(mixture.epoch(), says)
    examples += mixture.ask(UNLABELLED, log_odds(model, base), says)

    trained = []
    for run in STUDENTS:
        model.load_state_dict(start)
        trained += train(model, tokenizer, run, [examples] * run.epochs)
    model.load_state_dict(mean(trained))
    save(model, base, arguments.out, temperature_of(model, tokenizer, data))
    print(report(torch_form(arguments.out), data), flush=True)


if __name__ == "__main__":
    main()
