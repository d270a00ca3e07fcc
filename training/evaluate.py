"""Measure a model at each of its depths on the development sets: ``make evaluate DATA=folder``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training import curve
from training.exits import load
from training.forms import compiled_form, graph_of, read_int8
from training.measures import LAYERS_FILES, LINES, ask, development, first_sure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from training.measures import Rows


def table(
    said: Mapping[str, np.ndarray],
    rows: Mapping[str, Rows],
    depths: Sequence[int],
    confidence: float,
) -> str:
    """Return a Markdown table: each line at each depth, and with early answers.

    A value that breaks its bound is in bold.
    """
    head = ["set", "measure", "texts", "must be", *(f"{depth} layers" for depth in depths)]
    lines = [_row([*head, f"from {confidence:g}"]), "|---" * (len(head) + 1) + "|"]
    for line in LINES:
        labels = rows[line.file].labels
        answers = [*said[line.file], first_sure(said[line.file], confidence)[0]]
        values = [line.measure(each, labels) for each in answers]
        bound = "" if line.bound is None else f"{'at most ' * line.at_most}{line.bound:.1%}"
        cells = [f"{value:.2%}" if line.kept(value) else f"**{value:.2%}**" for value in values]
        lines.append(_row([line.file, line.name, str(len(labels)), bound, *cells]))
    return "\n".join(lines)


def layers_table(said: Mapping[str, np.ndarray], depths: Sequence[int], confidence: float) -> str:
    """Return a Markdown table: the share of texts that each depth answers, and their mean."""
    lines = [
        _row(["set", *(f"{depth} layers" for depth in depths), "mean"]),
        "|---" * (len(depths) + 2) + "|",
    ]
    means = []
    for name in LAYERS_FILES:
        _, depth = first_sure(said[name], confidence)
        means.append(np.array(depths)[depth].mean())
        shares = [f"{(depth == index).mean():.0%}" for index in range(len(depths))]
        lines.append(_row([name, *shares, f"{means[-1]:.2f}"]))
    lines.append(_row(["mean of the three", *[""] * len(depths), f"{np.mean(means):.2f}"]))
    return "\n".join(lines)


def compare(forms: Mapping[str, Mapping[str, np.ndarray]], rows: Mapping[str, Rows]) -> str:
    """Return a Markdown table: each line by form at full depth, and labels equal to the first's."""
    first, *others = forms
    head = ["set", "measure", first]
    for form in others:
        head += [form, "same label"]
    lines = [_row(head), "|---" * len(head) + "|"]
    for line in LINES:
        labels = rows[line.file].labels
        cells = [f"{line.measure(forms[first][line.file][-1], labels):.2%}"]
        for form in others:
            said, reference = forms[form][line.file][-1], forms[first][line.file][-1]
            same = (said.argmax(axis=1) == reference.argmax(axis=1)).mean()
            cells += [f"{line.measure(said, labels):.2%}", f"{same:.2%}"]
        lines.append(_row([line.file, line.name, *cells]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables of a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    parser.add_argument("--int8", action="store_true", help="measure the folder's int8 form")
    parser.add_argument("--curve", type=Path, help="an SVG for accuracy against layers computed")
    arguments = parser.parse_args()
    model, tokenizer = load(arguments.model)
    graph = read_int8(arguments.model) if arguments.int8 else graph_of(model)
    rows = development(arguments.data)
    said = ask(compiled_form(graph, tokenizer), rows)
    confidence = model.model.config.exits["confidence"]
    print(table(said, rows, model.depths, confidence))
    print()
    print(layers_table(said, model.depths, confidence))
    if arguments.curve is not None:
        print()
        print(curve.table(said, rows, model.depths))
        curve.draw(said, rows, model.depths, arguments.curve)


if __name__ == "__main__":
    main()
