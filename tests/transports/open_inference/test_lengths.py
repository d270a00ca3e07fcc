"""Lengths that lie: whatever a request claims, it is read exactly or refused by name."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valence_service.core.errors import InvalidField
from valence_service.core.limits import Limits
from valence_service.core.text import is_blank
from valence_service.transports.open_inference import open_inference_pb2 as pb
from valence_service.transports.open_inference.inputs import read_texts

from tests.transports.open_inference.conftest import infer_request, pack, unpack

LIMITS = Limits(max_text_bytes=64, max_batch_texts=8)
TEXTS = st.lists(
    st.text(min_size=1, max_size=16).filter(lambda text: not is_blank(text)),
    min_size=1,
    max_size=LIMITS.max_batch_texts,
)
# The bounds of the protocol's integers, and those around the limits.
SIZES = st.one_of(st.integers(-1, 10), st.sampled_from([2**31 - 1, 2**31, 2**32, 2**63 - 1]))
SHAPES = st.lists(SIZES, max_size=4)
FIELDS = ("inputs", "raw_input_contents", "text[")


def read(request: pb.ModelInferRequest) -> list[str] | None:
    """The texts of a request; None where it is refused by one of its fields."""
    # As it comes from the wire.
    request = pb.ModelInferRequest.FromString(request.SerializeToString())
    try:
        return read_texts(request, LIMITS)
    except InvalidField as error:
        if not error.field.startswith(FIELDS):
            raise
        return None


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.booleans(), st.booleans())
def test_honest_lengths_give_the_texts(texts: list[str], raw: bool, column: bool) -> None:
    shape = [len(texts), 1] if column else [len(texts)]
    assert read(infer_request(texts, raw=raw, shape=shape)) == texts


@settings(max_examples=40, deadline=None)
@given(SHAPES, TEXTS, st.booleans())
def test_a_shape_is_kept_to_or_refused(shape: list[int], texts: list[str], raw: bool) -> None:
    honest = shape in ([len(texts)], [len(texts), 1])
    assert read(infer_request(texts, raw=raw, shape=shape)) == (texts if honest else None)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=64), SIZES)
def test_any_bytes_are_exactly_the_texts_or_refused(raw: bytes, size: int) -> None:
    request = infer_request([], shape=[size])
    request.raw_input_contents[0] = raw
    texts = read(request)
    if texts is not None:
        assert len(texts) == size
        assert pack(text.encode() for text in texts) == raw


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.data())
def test_a_length_that_is_changed_is_refused_or_meant(
    texts: list[str], data: st.DataObject
) -> None:
    """One length of a good tensor is overwritten: mostly it no longer fits the bytes."""
    raw = bytearray(pack(text.encode() for text in texts))
    index = data.draw(st.integers(0, len(texts) - 1))
    place = len(pack(text.encode() for text in texts[:index]))
    length = data.draw(st.integers(0, 2**32 - 1) | st.integers(0, len(raw) + 1))
    struct.pack_into("<I", raw, place, length)
    request = infer_request([], shape=[len(texts)])
    request.raw_input_contents[0] = bytes(raw)
    found = read(request)
    if found is not None:
        assert [text.encode() for text in found] == unpack(bytes(raw))
        assert len(found) == len(texts)


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.data())
def test_bytes_that_are_cut_or_too_many_are_refused(texts: list[str], data: st.DataObject) -> None:
    raw = pack(text.encode() for text in texts)
    request = infer_request(texts)
    cut = data.draw(st.integers(0, len(raw) - 1))
    more = data.draw(st.binary(min_size=1, max_size=8))
    for changed in (raw[:cut], raw + more):
        request.raw_input_contents[0] = changed
        assert read(request) is None


@pytest.mark.parametrize("raw", [True, False])
def test_a_claim_of_much_allocates_nothing(*, raw: bool) -> None:
    """A text far over the limit is refused by its size, before it is decoded."""
    # Of four bytes a character, once it is decoded.
    large = infer_request(["😀" + "x" * 8_000_000], raw=raw)
    claims = [
        large,
        infer_request(["good"], raw=raw, shape=[2**62]),
        infer_request(["good"], raw=raw, shape=[2**31, 2**31]),
    ]
    endless = infer_request([], shape=[8])
    endless.raw_input_contents[0] = struct.pack("<I", 2**32 - 1)
    for request in [*claims, endless]:
        tracemalloc.start()
        try:
            with pytest.raises(InvalidField):
                read_texts(request, LIMITS)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # The bytes of the message may be copied once.
        assert peak < 20_000_000
