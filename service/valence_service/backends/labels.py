"""Read polarity and valence from a model's label names, and a sentiment from its scores.

Only names that read as sentiment count. Nothing is guessed: the operator may map other names.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from valence_service.core.sentiment import Label, LabelScore, Polarity, Sentiment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIDES = {
    "positive": 1.0,
    "pos": 1.0,
    "negative": -1.0,
    "neg": -1.0,
    "neutral": 0.0,
    "neu": 0.0,
}
# More would fill a terminal; the operator only has to recognize his model.
_NAMES_SHOWN = 20
_STRONG = re.compile(r"^(?:very|extremely|strongly)\s+")
_STARS = re.compile(r"^(?:(?P<before>\d+)\s*stars?|stars?\s*(?P<after>\d+)|(?P<drawn>[★⭐]+))$")


def parse_label_valence(text: str) -> dict[str, float]:
    """Return the valence of each label in ``LABEL_0=-1,LABEL_1=1``.

    Raise ValueError, which names the wrong part.
    """
    valences = {}
    for item in filter(None, text.split(",")):
        name, equals, number = item.rpartition("=")
        try:
            valence = float(number)
        except ValueError:
            valence = float("nan")
        if not equals or not name.strip() or not -1 <= valence <= 1:
            raise ValueError(f"{item.strip()!r} is not LABEL=NUMBER with a number from -1 to 1")
        if name.strip() in valences:
            raise ValueError(f"{name.strip()!r} is named twice: give each label one valence")
        valences[name.strip()] = valence
    return valences


def label_names(config: Mapping[str, Any]) -> list[str]:
    """Return the labels of a model's config.json in the order of the model's outputs.

    Numbers become text, and a name may come twice: transformers serves such models too. Raise
    ValueError, which names the wrong entry.
    """
    names, count = config.get("id2label"), config.get("num_labels")
    if count is not None and (not isinstance(count, int) or count < 1):
        raise ValueError(f"num_labels: {count!r} is not the number of labels")
    if not names:
        return [f"LABEL_{index}" for index in range(2 if count is None else count)]
    if not isinstance(names, dict):
        raise ValueError("id2label: is no object of ids and names")
    named = {_label_id(key): name for key, name in names.items()}
    missing = next((index for index in range(len(names)) if index not in named), None)
    if missing is not None:
        raise ValueError(
            f"id2label: has {len(names)} names, and none for id {missing}: number them from 0"
        )
    if count is not None and count != len(names):
        raise ValueError(f"num_labels is {count}, and id2label has {len(names)} names")
    return [_label_name(index, named[index]) for index in range(len(names))]


def _label_id(key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise ValueError(f"id2label: {key!r} is no id: number the names from 0") from None


def _label_name(index: int, name: object) -> str:
    if isinstance(name, int | float):
        return json.dumps(name)
    if not isinstance(name, str):
        raise ValueError(f"id2label: the name of id {index} is {json.dumps(name)}: give it a text")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"id2label: the name of id {index} is not valid Unicode") from None
    return name


def read_labels(names: Sequence[str], mapped: Mapping[str, float]) -> tuple[Label, ...]:
    """Return a model's labels in its order, each with the valence that its name or the map gives.

    ``mapped`` holds valences in [-1, 1] by name and overrides the names. Raise ValueError where
    it names a label that the model does not have.
    """
    unknown = sorted(set(mapped) - set(names))
    if unknown:
        more = "" if len(names) <= _NAMES_SHOWN else f" and {len(names) - _NAMES_SHOWN} more"
        shown = ", ".join(map(repr, names[:_NAMES_SHOWN]))
        raise ValueError(f"the model has no label {unknown[0]!r}; it has {shown}{more}")
    read = _stars(names) or _sides(names)
    return tuple(Label(name, mapped.get(name, read.get(name))) for name in names)


def _words(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _sides(names: Sequence[str]) -> dict[str, float]:
    """Return the valences of names that say a side; plain ones are half of "very" ones."""
    plain = 0.5 if any(_STRONG.match(_words(name)) for name in names) else 1.0
    valences = {}
    for name in names:
        side = _SIDES.get(_STRONG.sub("", _words(name)))
        if side is not None:
            valences[name] = side * (1.0 if _STRONG.match(_words(name)) else plain)
    return valences


def _stars(names: Sequence[str]) -> dict[str, float]:
    """Return the valences of star ratings, spread evenly; empty unless every name is a rating."""
    stars = {}
    for name in names:
        match = _STARS.match(_words(name))
        if match is None:
            return {}
        stars[name] = len(match["drawn"] or "") or int(match["before"] or match["after"])
    low, high = min(stars.values()), max(stars.values())
    if low == high:
        return {}
    return {name: 2 * (count - low) / (high - low) - 1 for name, count in stars.items()}


def read_scores(
    scores: Sequence[float],
    labels: Sequence[Label],
    *,
    probabilities: bool,
    tokens_total: int,
    tokens_used: int,
    tokens_unknown: int,
    layers_used: int,
) -> Sentiment:
    """Make a sentiment from the score of each label, in the labels' order.

    Its valence is the expected value of the labels' valences, with the scores normalized to a sum
    of 1 (only a multi-label model's need it). A single label of valence v and score p stands for
    two: v with p and -v with 1 - p. Without ``probabilities`` (regression) there is no expected
    value, and so no valence.
    """
    ranked = sorted(zip(labels, scores, strict=True), key=lambda scored: -scored[1])
    valence = _valence(scores, labels) if probabilities else None
    return Sentiment(
        scores=tuple(LabelScore(label.name, score) for label, score in ranked),
        polarity=Polarity.of(valence if len(labels) == 1 else ranked[0][0].valence),
        valence=valence,
        tokens_total=tokens_total,
        tokens_used=tokens_used,
        tokens_unknown=tokens_unknown,
        layers_used=layers_used,
    )


def _valence(scores: Sequence[float], labels: Sequence[Label]) -> float | None:
    known = [
        (label.valence, score)
        for label, score in zip(labels, scores, strict=True)
        if label.valence is not None
    ]
    total = sum(score for _, score in known)
    if len(known) < len(labels) or total <= 0:
        return None
    if len(known) == 1:
        valence, score = known[0]
        return valence * (2 * score - 1)
    # Rounding may take the sum just beyond 1.
    return max(-1.0, min(1.0, sum(valence * score for valence, score in known) / total))
