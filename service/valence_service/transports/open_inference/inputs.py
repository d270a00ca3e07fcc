"""The texts of a ModelInferRequest: one tensor of BYTES, raw or typed.

Each length that a request claims is checked before it is relied on. An error names a text by the
tensor and its index: ``text[3]``.
"""

from __future__ import annotations

import reprlib
import struct
from typing import TYPE_CHECKING

from valence_service.core.errors import InvalidField
from valence_service.serving.validation import check_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from valence_service.core.limits import Limits
    from valence_service.transports.open_inference import open_inference_pb2 as pb

INPUT = "text"
BYTES = "BYTES"
LENGTH = struct.Struct("<I")
_FIELD = "inputs[0]"
# Trailing metadata carries an error, so what it repeats of a request must be short.
_repr = reprlib.Repr()
_repr.maxstring = 80
shown = _repr.repr


def read_texts(request: pb.ModelInferRequest, limits: Limits) -> list[str]:
    """Return the texts of a request. Raise InvalidField."""
    tensor = _only_input(request.inputs)
    texts = _count(tensor.shape, limits)
    if request.raw_input_contents:
        if tensor.HasField("contents"):
            raise InvalidField(f"{_FIELD}.contents", "goes not with raw_input_contents: send one")
        if len(request.raw_input_contents) != 1:
            raise InvalidField(
                "raw_input_contents",
                f"has {len(request.raw_input_contents)} elements: send one for each input, which "
                "is 1",
            )
        elements: Iterable[bytes] = _raw_elements(request.raw_input_contents[0], texts)
    else:
        elements = _typed_elements(tensor.contents, texts)
    return [_text(element, f"{INPUT}[{index}]", limits) for index, element in enumerate(elements)]


def _only_input(
    inputs: Sequence[pb.ModelInferRequest.InferInputTensor],
) -> pb.ModelInferRequest.InferInputTensor:
    if len(inputs) != 1:
        raise InvalidField("inputs", f"has {len(inputs)} tensors: send one, named {INPUT!r}")
    tensor = inputs[0]
    if tensor.name != INPUT:
        raise InvalidField(f"{_FIELD}.name", f"is {shown(tensor.name)}: the input is {INPUT!r}")
    if tensor.datatype != BYTES:
        raise InvalidField(
            f"{_FIELD}.datatype", f"is {shown(tensor.datatype)}: {INPUT!r} takes {BYTES!r}"
        )
    if "shared_memory_region" in tensor.parameters:
        raise InvalidField(
            f"{_FIELD}.parameters", "name shared memory, which is not read: send the texts"
        )
    return tensor


def _count(shape: Sequence[int], limits: Limits) -> int:
    """Return the number of texts that a shape claims, [texts] or [texts, 1]."""
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise InvalidField(
            f"{_FIELD}.shape", f"is {shown(list(shape))}: send [texts] or [texts, 1]"
        )
    if not 1 <= shape[0] <= limits.max_batch_texts:
        raise InvalidField(
            f"{_FIELD}.shape",
            f"is {shown(list(shape))}, outside of the limit: send 1 to {limits.max_batch_texts} "
            "texts",
        )
    return shape[0]


def _typed_elements(contents: pb.InferTensorContents, texts: int) -> Sequence[bytes]:
    others = [field.name for field, _ in contents.ListFields() if field.name != "bytes_contents"]
    if others:
        raise InvalidField(
            f"{_FIELD}.contents", f"has {others[0]}: {BYTES} are in bytes_contents alone"
        )
    if len(contents.bytes_contents) != texts:
        raise InvalidField(
            f"{_FIELD}.contents.bytes_contents",
            f"has {len(contents.bytes_contents)} elements, and the shape says {texts}",
        )
    return contents.bytes_contents


def _raw_elements(raw: bytes, texts: int) -> Iterator[bytes]:
    """Yield each element, which follows its length."""
    begin = 0
    for index in range(texts):
        if len(raw) - begin < LENGTH.size:
            raise InvalidField(
                "raw_input_contents[0]", f"ends before text {index}, and the shape says {texts}"
            )
        (size,) = LENGTH.unpack_from(raw, begin)
        begin += LENGTH.size
        if size > len(raw) - begin:
            raise InvalidField(
                "raw_input_contents[0]",
                f"ends {len(raw) - begin} bytes after the length of text {index}, which says "
                f"{size}",
            )
        yield raw[begin : begin + size]
        begin += size
    if begin != len(raw):
        raise InvalidField(
            "raw_input_contents[0]",
            f"goes on for {len(raw) - begin} bytes after text {texts - 1}, the last of the shape",
        )


def _text(element: bytes, field: str, limits: Limits) -> str:
    """Return a text. Its size is checked first: decoding allocates."""
    if len(element) > limits.max_text_bytes:
        raise InvalidField(
            field, f"has {len(element)} bytes, over the limit of {limits.max_text_bytes}"
        )
    try:
        text = element.decode()
    except UnicodeDecodeError:
        raise InvalidField(field, "is not UTF-8") from None
    check_text(text, field, limits)
    return text
