"""transformers.pipeline on torch: any model, any device; the reference the others are held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers

from valence_service.models.labels import read_scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from valence_service.sentiment import ModelInfo, Sentiment

# Texts share a pass where the shortest has at least this part of the longest's tokens. Below it,
# padding costs more than a pass of its own.
LIKE_LENGTH = 0.7


@dataclass(frozen=True, slots=True)
class PipelineClassifier:
    """One replica of a model and its tokenizer, behind the Classifier protocol."""

    info: ModelInfo
    pipeline: transformers.TextClassificationPipeline
    max_pass_tokens: int
    """The most tokens, padding included, in one pass through the model."""

    def classify(self, texts: Sequence[str]) -> list[Sentiment]:
        """One sentiment for each text, in order. Blocks for the time of the computation."""
        limit = self.info.max_tokens
        totals = self._count(texts)
        used = [min(total, limit) for total in totals]
        scores: list[Mapping[str, float]] = [{}] * len(texts)
        for group in self._passes(used):
            results: Any = self.pipeline(
                [texts[index] for index in group],
                batch_size=len(group),
                top_k=None,
                truncation=True,
                max_length=limit,
            )
            for index, result in zip(group, results, strict=True):
                scores[index] = {item["label"]: item["score"] for item in result}
        return [
            read_scores(
                scores[index],
                self.info.labels,
                probabilities=self.pipeline.model.config.problem_type != "regression",
                tokens_total=totals[index],
                tokens_used=used[index],
            )
            for index in range(len(texts))
        ]

    def _count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each whole text. verbose=False: a long text is no news here."""
        tokenizer: Any = self.pipeline.tokenizer
        encoded = tokenizer(list(texts), truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _passes(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices into lengths, in groups to compute together: alike, and within the bound."""
        group: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
            longest = lengths[group[0]] if group else 0
            too_many = (len(group) + 1) * longest > self.max_pass_tokens
            if group and (too_many or lengths[index] < LIKE_LENGTH * longest or not self._pads()):
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    def _pads(self) -> bool:
        """Whether texts can share a pass at all: some decoder models have no padding token."""
        tokenizer: Any = self.pipeline.tokenizer
        config = self.pipeline.model.config
        return tokenizer.pad_token_id is not None and config.pad_token_id is not None


def build_pipeline(
    model: Any, tokenizer: Any, device: str
) -> transformers.TextClassificationPipeline:
    """A text-classification pipeline that leaves batching and activation to its settings."""
    return transformers.pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device=torch.device(device)
    )
