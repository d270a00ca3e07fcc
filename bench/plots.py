"""The manner of every page's plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS = "Valence"
OUR_COLOUR, THEIR_COLOUR = "#c2410c", "#94a3b8"


def plot() -> tuple[Figure, Axes]:
    """Return an empty plot."""
    plt.switch_backend("svg")
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "valence", "font.size": 9}
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write an SVG that is the same for the same numbers."""
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def style(name: str) -> dict[str, Any]:
    """Return the line style that sets Valence apart."""
    return {"color": OUR_COLOUR, "linewidth": 2.5, "zorder": 3} if name == OURS else {}
