"""Train the embedded model: ``make train DATA=folder``.

Teachers are fine-tuned from the base on labelled texts. The mean of their weights after each epoch
(Wortsman et al. 2022, arXiv:2203.05482) is better than any of them, and labels more texts. Students
go on from that mean over both; the mean of the students is the model. One temperature calibrates
it (Guo et al. 2017, arXiv:1706.04599) and is folded into the last layer, so that a plain softmax
gives the calibrated probability in every runtime.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from base import base_folder, load_base, save
from batches import Batch, batches
from data import dev_rows
from evaluate import logits_of, report, torch_form
from mixture import Mixture
from recipe import STUDENTS, TEACHERS, Run
from tokenizers import Tokenizer
from tqdm import tqdm

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SEED = 20_260
WARMUP_FRACTION = 0.06
WEIGHT_DECAY = 0.01
# Chosen for the likeness of their texts to what people write; the adversarial sets would ask
# for a doubt that ordinary text does not deserve.
TEMPERATURE_FILES = ("sst2_detok.dev", "cad_imdb.dev_original", "cad_imdb.dev_revised")

Weights = dict[str, Any]


def mean(weights: list[Weights]) -> Weights:
    """The mean of each tensor. Of models from one base, it is a model itself."""
    return {name: sum(each[name] for each in weights) / len(weights) for name in weights[0]}


def plan(run: Run, start: PreTrainedModel, data: Path, tokenizer: Tokenizer) -> list[list[Batch]]:
    """The batches of each epoch; start labels what has no label."""
    mixture = Mixture(data, run)
    rng = np.random.default_rng(run.seed)

    def log_odds_of(texts: list[str]) -> np.ndarray:
        logits = logits_of(start, tokenizer, texts)
        return np.asarray(logits[:, 1] - logits[:, 0])

    start.eval()
    asked = mixture.ask(log_odds_of)
    return [batches(mixture.epoch() + asked, tokenizer, rng) for _ in range(run.epochs)]


def learning_rate(run: Run, step: int, steps: int) -> float:
    """Up from nothing during the warm-up, then down in a line to the run's last."""
    warmup = round(steps * WARMUP_FRACTION)
    if step < warmup:
        return run.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return run.learning_rate + done * (run.final_learning_rate - run.learning_rate)


def train(model: PreTrainedModel, run: Run, epochs: list[list[Batch]]) -> list[Weights]:
    """A run, with a progress bar; the weights after each epoch."""
    torch.manual_seed(run.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), run.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
    )
    weights = []
    steps = sum(map(len, epochs))
    with tqdm(total=steps, unit="batch", smoothing=0.02, desc=run.name) as bar:
        for epoch in epochs:
            model.train()
            for batch in epoch:
                optimizer.param_groups[0]["lr"] = learning_rate(run, int(bar.n), steps)
                with torch.autocast("cpu", torch.bfloat16):
                    logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    (logits[:, 1] - logits[:, 0]).float(), batch.positive
                )
                loss.backward()  # type: ignore[no-untyped-call]  # torch types it not
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                bar.update()
            model.eval()
            weights.append({k: v.detach().clone() for k, v in model.state_dict().items()})
    return weights


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the mean negative log likelihood of labels."""

    def loss(temperature: float) -> float:
        margin = (logits[:, 1] - logits[:, 0]) / temperature * np.where(labels == 1, 1, -1)
        return float(np.logaddexp(0, -margin).mean())

    return float(min(np.arange(0.5, 4.0, 0.01), key=loss))


def temperature_of(model: PreTrainedModel, tokenizer: Tokenizer, data: Path) -> float:
    """The temperature that calibrates the model on TEMPERATURE_FILES."""
    rows = [dev_rows(data, name) for name in TEMPERATURE_FILES]
    logits = np.concatenate([logits_of(model, tokenizer, texts) for texts, _ in rows])
    return fit_temperature(logits, np.concatenate([labels for _, labels in rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    arguments = parser.parse_args()
    data: Path = arguments.data

    torch.manual_seed(SEED)
    base = base_folder()
    model = load_base(base, SEED)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for runs in (TEACHERS, STUDENTS):
        trained: list[Weights] = []
        for run in runs:
            model.load_state_dict(start)
            trained += train(model, run, plan(run, model, data, tokenizer))
        start = mean(trained)
        model.load_state_dict(start)
        save(model, base, arguments.out, temperature_of(model, tokenizer, data))
        print(report(torch_form(arguments.out), data), flush=True)


if __name__ == "__main__":
    main()
