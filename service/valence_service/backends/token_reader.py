"""Where the tokens of a text stand, for windows over texts of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from valence_service.backends.unknown_tokens import UnknownTokens
from valence_service.core.document import TextTokens

if TYPE_CHECKING:
    from collections.abc import Sequence


class OffsetReader:
    """A tokenizer of the tokenizers library. Its calls release the interpreter's lock."""

    def __init__(self, tokenizer: str) -> None:
        """Read the content of a tokenizer.json."""
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._unknown = UnknownTokens.of(self._tokenizer)

    @classmethod
    def of_transformers(cls, tokenizer: Any) -> OffsetReader | None:
        """Return a reader for a tokenizer of transformers; None for one that tells no offsets."""
        return cls(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else None

    def read(self, text: str) -> TextTokens:
        """Return the tokens of a text, however many they are."""
        (encoding,) = self._tokenizer.encode_batch([text])
        spans = [
            span
            for span, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
            if not special
        ]
        return TextTokens(spans, len(encoding), self._unknown.count(encoding.ids))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]
