"""Train the embedded model: ``make train DATA=folder``.

1. The model begins from the embedded one of two labels. It gets a third label, tokens for emoji,
   and a head after some of its lower layers. The model of two labels says each text's side.
2. A first student learns three labels. Each exit learns from the labels and from the last layer
   (self-distillation; Zhang et al. 2019, arXiv:1905.08094).
3. A teacher, eight times as large, learns the same (Hinton et al. 2015, arXiv:1503.02531).
4. The first student answers the texts whose side it is sure of, and the teacher the others. A
   second student goes on from the first over labels and answers; it is the model.
5. A temperature for each depth calibrates the scores (Guo et al. 2017, arXiv:1706.04599). It is
   folded into the depth's last layer, so that a plain softmax gives calibrated probabilities.

Each step leaves a file in the work folder, and a step that has left its file is not done again. So
after an interruption the same command goes on, inside a training from its last checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import torch

from training.answers import Answers, Probabilities
from training.base import (
    load_start,
    load_teacher,
    read_tokenizer,
    start_folder,
    teacher_folder,
)
from training.batches import Batch, batches
from training.calibrate import exit_confidence, temperatures
from training.evaluate import layers_table, table
from training.exits import WithExits, save
from training.fit import fit, write
from training.forms import compiled_form, graph_of, probabilities, read_int8
from training.measures import NEUTRAL, development
from training.mixture import Mixture, Said
from training.recipe import EXITS, FIRST, SECOND, SURE, TEACHER, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

# More of a long review costs more than what it adds to a teacher's answer.
ASKED_TOKENS = 128

Weights = dict[str, Any]


def trained(
    model: WithExits, tokenizer: Tokenizer, run: Run, mixture: Mixture, work: Path
) -> Weights:
    """Return the weights of a run that begins from the model's, from its file where it ended."""
    folder = work / run.name
    ended = folder / "weights.pt"
    if not ended.exists():
        listed, checkpoint = folder / "batches.pt", folder / "checkpoint.pt"
        if not listed.exists():
            rng = np.random.default_rng(run.seed)
            write(listed, batches(mixture.examples(), tokenizer, rng))
        read: list[Batch] = torch.load(listed, weights_only=False)
        fit(model, run, read, checkpoint)
        write(ended, model.state_dict())
        checkpoint.unlink(missing_ok=True)
    weights: Weights = torch.load(ended)
    return weights


def asks(path: Path, load: Callable[[], tuple[openvino.Model, Tokenizer]]) -> Probabilities:
    """Return who answers from the file at path; load is called once there are new texts."""
    answers = Answers(path)

    def form() -> Probabilities:
        logits = compiled_form(*load(), max_tokens=ASKED_TOKENS)
        return lambda texts: probabilities(logits(texts)[-1])

    return lambda texts: answers.of(texts, form)


def converted(answering: WithExits) -> openvino.Model:
    """Return the teacher for OpenVINO."""
    ids = torch.ones(1, 8, dtype=torch.long)
    return openvino.convert_model(
        answering.model.eval(), example_input={"input_ids": ids, "attention_mask": ids}
    )


def of_both(student: Probabilities, teacher: Probabilities, texts: list[str]) -> np.ndarray:
    """Return the student's answers where it is sure of a side, and the teacher's elsewhere.

    The student calls too many sentences of reviews neutral, so its word on that does not count.
    """
    said = student(texts)
    doubtful = np.flatnonzero(np.delete(said, NEUTRAL, axis=1).max(axis=1) < SURE)
    said[doubtful] = teacher([texts[index] for index in doubtful])
    return said


def finish(student: WithExits, tokenizer: Tokenizer, data: Path, settings: Path, out: Path) -> None:
    """Calibrate the model, save it, and print its tables."""
    rows = development(data)
    form = compiled_form(graph_of(student), tokenizer)
    logits = {name: form(each.texts) for name, each in rows.items()}
    of_depths = temperatures(logits, rows)
    cooled = np.array(of_depths)[:, None, None]
    said = {name: probabilities(each / cooled) for name, each in logits.items()}
    confidence = exit_confidence(said, rows)
    save(
        student,
        tokenizer,
        settings=settings,
        out=out,
        temperatures=of_depths,
        confidence=confidence,
    )
    print(f"temperatures: {of_depths}, confidence: {confidence}")
    print(table(said, rows, student.depths, confidence))
    print(layers_table(said, student.depths, confidence), flush=True)


def main() -> None:
    """Train, save the model, and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/training"),
        help="folder for what each step leaves (default: %(default)s)",
    )
    arguments = parser.parse_args()
    data: Path = arguments.data
    work: Path = arguments.work

    start = start_folder(work / "start")
    two_labels = asks(
        work / "answers" / "start.tsv", lambda: (read_int8(start), read_tokenizer(start))
    )
    torch.manual_seed(FIRST.seed)
    model, tokenizer = load_start(start)
    student = WithExits(model, EXITS)
    mixture = Mixture(data, FIRST, lambda texts: Said.of(two_labels(texts)))
    student.load_state_dict(trained(student, tokenizer, FIRST, mixture, work))

    torch.manual_seed(TEACHER.seed)
    untrained, its_tokenizer = load_teacher(teacher_folder(work / "teacher-base"))
    teacher = WithExits(untrained, ())
    mixture = Mixture(data, TEACHER, lambda texts: Said.of(two_labels(texts)))
    teacher.load_state_dict(trained(teacher, its_tokenizer, TEACHER, mixture, work))

    first = asks(work / "answers" / "first.tsv", lambda: (graph_of(student), tokenizer))
    taught = asks(work / "answers" / "teacher.tsv", lambda: (converted(teacher), its_tokenizer))
    mixture = Mixture(data, SECOND, lambda texts: Said.of(of_both(first, taught, texts)))
    student.load_state_dict(trained(student, tokenizer, SECOND, mixture, work))

    finish(student, tokenizer, data, start / "tokenizer_config.json", arguments.out)


if __name__ == "__main__":
    main()
