"""Count the tokens of a text that a model has no word for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

# Unicode never assigns it, so no vocabulary has it.
_IN_NO_VOCABULARY = "\U0010ffff"


class UnknownTokens:
    """Knows the token that stands for what the vocabulary lacks."""

    def __init__(self, unknown_id: int | None, empty: Sequence[int]) -> None:
        """Take that token, None where there is none, and the tokens of an empty text."""
        self._id = unknown_id
        # Some tokenizers (CLIP's) end each text with the same token.
        self._always = 0 if unknown_id is None else empty.count(unknown_id)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> UnknownTokens:
        """Ask a tokenizer of the tokenizers library for a character that it cannot know.

        Tokenizers that fall back to bytes answer with several tokens, or with none.
        """
        tokens = tokenizer.model.tokenize(_IN_NO_VOCABULARY)
        unknown_id = tokens[0].id if len(tokens) == 1 else None
        return cls(unknown_id, tokenizer.encode("").ids)

    @classmethod
    def of_transformers(cls, tokenizer: Any) -> UnknownTokens:
        """Take the unknown token of a transformers tokenizer."""
        if tokenizer.is_fast:
            return cls.of(tokenizer.backend_tokenizer)
        return cls(tokenizer.unk_token_id, tokenizer("")["input_ids"])

    def count(self, ids: Sequence[int]) -> int:
        """Return how many tokens of a text are unknown."""
        return 0 if self._id is None else ids.count(self._id) - self._always
