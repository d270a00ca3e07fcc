"""Offsets: the same sentence in each unit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from valence_service.segmentation.sentences import SentenceSegmenter
from valence_service.serving.offsets import in_unit
from valence_service.serving.options import OffsetUnit

texts = st.one_of(
    st.text(max_size=100),
    st.lists(
        st.sampled_from([*"aé日😍.! \0", "\r\n", "Next. ", "👨\u200d👩\u200d👧", "e\u0301"]),
        max_size=80,
    ).map("".join),
)


@given(texts)
@settings(max_examples=60, deadline=None)
def test_a_span_holds_its_sentence_in_every_unit(text: str) -> None:
    spans = list(SentenceSegmenter().segment(text))
    sentences = [text[span.begin : span.end] for span in spans]

    def cut(encoding: str, unit: OffsetUnit, unit_bytes: int) -> list[str]:
        data = text.encode(encoding)
        return [
            data[span.begin * unit_bytes : span.end * unit_bytes].decode(encoding)
            for span in in_unit(text, spans, unit)
        ]

    assert cut("utf-8", OffsetUnit.UTF8_BYTES, 1) == sentences
    assert cut("utf-16-le", OffsetUnit.UTF16_UNITS, 2) == sentences
    assert cut("utf-32-le", OffsetUnit.CODE_POINTS, 4) == sentences
