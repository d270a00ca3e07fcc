"""Convert texts to requests. Never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from valence.v1 import sentiment_pb2 as pb

from valence_client.errors import InvalidText

if TYPE_CHECKING:
    from collections.abc import Sequence

Overlength: TypeAlias = Literal["truncate", "reject", "windows"]
"""What to do with a text that has more tokens than the model reads."""

_OVERLENGTHS = {
    "truncate": pb.OVERLENGTH_TRUNCATE,
    "reject": pb.OVERLENGTH_REJECT,
    "windows": pb.OVERLENGTH_WINDOWS,
}


def overlength_value(overlength: Overlength) -> pb.Overlength.ValueType:
    """Return the proto's value. Raise ValueError if there is none."""
    if overlength not in _OVERLENGTHS:
        raise ValueError(f"overlength is {overlength!r}: choose 'truncate', 'reject' or 'windows'")
    return _OVERLENGTHS[overlength]


def refuse_lone_text(texts: object) -> None:
    """Raise TypeError for a single str: its characters would be classified one by one."""
    if isinstance(texts, str | bytes):
        raise TypeError("texts is one text: put it in a list")


def check_text(text: object, field: str) -> None:
    """Raise InvalidText if the text cannot be encoded, TypeError if it is not a str."""
    if not isinstance(text, str):
        raise TypeError(f"{field} is {type(text).__name__}, not str")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        description = f"is not valid Unicode: a lone surrogate at {error.start}"
        raise InvalidText(
            f"{field}: {description}", reason="INVALID_FIELD", field=field, description=description
        ) from None


def classify_request(text: str, overlength: Overlength) -> pb.ClassifyRequest:
    """Return the request. Raise InvalidText, TypeError, ValueError."""
    check_text(text, "text")
    return pb.ClassifyRequest(text=text, overlength=overlength_value(overlength))


def batch_request(
    texts: Sequence[str], overlength: Overlength
) -> tuple[pb.BatchClassifyRequest, dict[int, InvalidText]]:
    """Return the request, and by index the errors of the texts that cannot be sent.

    An empty text takes the place of such a text: the server refuses it at no cost.
    Raise TypeError, ValueError.
    """
    unsent: dict[int, InvalidText] = {}
    for index, text in enumerate(texts):
        try:
            check_text(text, f"texts[{index}]")
        except InvalidText as error:
            unsent[index] = error
    sent = ["" if index in unsent else text for index, text in enumerate(texts)]
    return pb.BatchClassifyRequest(texts=sent, overlength=overlength_value(overlength)), unsent


def document_request(text: str) -> pb.ClassifyDocumentRequest:
    """Return the request, for offsets that count as str does. Raise InvalidText, TypeError."""
    check_text(text, "text")
    return pb.ClassifyDocumentRequest(text=text, offset_unit=pb.OFFSET_UNIT_CODE_POINTS)


def check_window(window_texts: int) -> None:
    """Raise ValueError for a window that has room for no text."""
    if window_texts < 1:
        raise ValueError(f"window_texts is {window_texts}: give 1 or more")
