"""transformers.pipeline on torch: any model on any device, and the reference in tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import transformers

from valence_service.backends.labels import read_scores
from valence_service.backends.micro_batches import micro_batches
from valence_service.core.classifier import TokenCount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.backends.unknown_tokens import UnknownTokens
    from valence_service.core.sentiment import ModelInfo, Sentiment

# The fixed cost of a micro-batch, in tokens: on two cores 9 ms of a six-layer MiniLM's 13 for one
# text. On a GPU launching kernels weighs more (not measured).
OVERHEAD_TOKENS = {"cpu": 64, "cuda": 4_096}
# Any number of texts, in steps where there are many.
MICRO_BATCH_TEXTS = (*range(1, 65), 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)


@dataclass(frozen=True, slots=True)
class PipelineClassifier:
    """One replica of a model and its tokenizer, behind the Classifier protocol."""

    info: ModelInfo
    pipeline: transformers.TextClassificationPipeline
    max_micro_batch_tokens: int
    """The most tokens of a micro-batch, padding included."""
    unknown: UnknownTokens
    one_by_one: bool
    """Whether each text has a micro-batch of its own: padding would change its answer."""
    tokens: TokenCount = field(default_factory=TokenCount)

    def classify(self, texts: Sequence[str], *, full_depth: bool = False) -> list[Sentiment]:
        """Return one sentiment for each text, in order. Block while it computes."""
        limit = self.info.max_tokens
        totals, unknown = self._count(texts)
        used = [min(total, limit) for total in totals]
        scores: list[Sequence[float]] = [()] * len(texts)
        for group in micro_batches(
            used,
            counts=(1,) if self.one_by_one else MICRO_BATCH_TEXTS,
            max_tokens=self.max_micro_batch_tokens,
            overhead_tokens=OVERHEAD_TOKENS[self.pipeline.device.type],
        ):
            tokens = sum(used[index] for index in group)
            self.tokens.texts += tokens
            self.tokens.padding += len(group) * used[group[0]] - tokens
            results: Any = self.pipeline(
                [texts[index] for index in group],
                batch_size=len(group),
                top_k=None,
                truncation=True,
                max_length=limit,
            )
            for index, result in zip(group, results, strict=True):
                by_id = {item["label"]: item["score"] for item in result}
                scores[index] = [by_id[label] for label in range(len(by_id))]
        depth = self.info.layers
        self.tokens.layers[depth] = self.tokens.layers.get(depth, 0) + len(texts)
        return [
            read_scores(
                scores[index],
                self.info.labels,
                probabilities=self.pipeline.model.config.problem_type != "regression",
                tokens_total=totals[index],
                tokens_used=used[index],
                tokens_unknown=unknown[index],
                layers_used=self.info.layers,
            )
            for index in range(len(texts))
        ]

    def _count(self, texts: Sequence[str]) -> tuple[list[int], list[int]]:
        """Count the tokens of each whole text, and the unknown ones among those that are read."""
        tokenizer: Any = self.pipeline.tokenizer
        # Without verbose there is no warning for long texts.
        encoded: list[list[int]] = tokenizer(list(texts), truncation=False, verbose=False)[
            "input_ids"
        ]
        totals = [len(ids) for ids in encoded]
        limit = self.info.max_tokens
        for index, total in enumerate(totals):
            if total > limit:
                cut = tokenizer(texts[index], truncation=True, max_length=limit, verbose=False)
                encoded[index] = cut["input_ids"]
        return totals, [self.unknown.count(ids) for ids in encoded]


class CheckedPipeline(transformers.TextClassificationPipeline):  # type: ignore[misc]  # unfollowed
    """transformers' pipeline, with an error where it would turn infinite logits into scores."""

    def postprocess(self, model_outputs: Any, **options: Any) -> Any:
        """Return the scores of a text. Raise ValueError for logits that are not numbers."""
        if not torch.isfinite(model_outputs["logits"]).all():
            raise ValueError("the model's logits are not numbers")
        return super().postprocess(model_outputs, **options)


def build_pipeline(
    model: Any, tokenizer: Any, device: str
) -> transformers.TextClassificationPipeline:
    """Return a text-classification pipeline on a device, whose labels are their ids."""
    # It sorts the labels, and two may have one name.
    model.config.id2label = {index: index for index in range(model.config.num_labels)}
    return transformers.pipeline(
        "text-classification",
        model=model,
        tokenizer=tokenizer,
        device=torch.device(device),
        pipeline_class=CheckedPipeline,
    )
