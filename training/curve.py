"""Show what an early answer costs: accuracy against the layers that are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.plots import plot, save
from training.measures import LINES, first_sure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.measures import Line, Rows

CONFIDENCES = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
# Those that count a share of right answers of many texts.
_DRAWN = {"two way", "mean recall"}
DRAWN = tuple(line for line in LINES if line.name in _DRAWN and line.bound is not None)


def points(
    line: Line, said: np.ndarray, labels: np.ndarray, depths: Sequence[int]
) -> list[tuple[float, float]]:
    """Return the mean number of layers and the measure at each of CONFIDENCES."""
    found = []
    for confidence in CONFIDENCES:
        answers, depth = first_sure(said, confidence)
        found.append((float(np.array(depths)[depth].mean()), line.measure(answers, labels)))
    return found


def table(said: Mapping[str, np.ndarray], rows: Mapping[str, Rows], depths: Sequence[int]) -> str:
    """Return a Markdown table: a row for each line, and the points of its curve."""
    head = ["set", "measure", *(f"from {confidence:g}" for confidence in CONFIDENCES)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in DRAWN:
        found = points(line, said[line.file], rows[line.file].labels, depths)
        cells = [line.file, line.name, *(f"{value:.1%} ({mean:.1f})" for mean, value in found)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(
    said: Mapping[str, np.ndarray], rows: Mapping[str, Rows], depths: Sequence[int], path: Path
) -> None:
    """Write the curves as an SVG."""
    figure, axes = plot()
    for line in DRAWN:
        found = points(line, said[line.file], rows[line.file].labels, depths)
        layers, values = zip(*found, strict=True)
        label = f"{line.file.removesuffix('.dev')}, {line.name}"
        axes.plot(layers, values, marker="o", markersize=3, label=label)
    axes.set(
        xlabel="mean number of layers computed",
        ylabel="right answers",
        title="Early answers: right answers against layers computed",
    )
    figure.legend(loc="outside right upper", frameon=False, fontsize=7)
    save(figure, path)
