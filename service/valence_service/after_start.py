"""What a quick start leaves for later: the largest batch, and the self-check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from valence_service.backends.self_check import SelfCheck, WrongAnswers
from valence_service.scheduler.canary import ReplicaBroken

if TYPE_CHECKING:
    from valence_service.core.sentiment import ModelInfo
    from valence_service.scheduler.batcher import Batcher

log = structlog.get_logger()


async def settle_in(batcher: Batcher, info: ModelInfo, *, self_check: bool) -> None:
    """Compute the largest batch once on each replica, then check one's answers. Raise nothing.

    One stands for all: the replicas of a quick start compute one compiled model.
    Wrong answers condemn the model: the service is NOT_SERVING at once, and ends as for any model
    that no longer answers.
    """
    try:
        await batcher.warm_up(one_by_one=True)
        if self_check:
            await _check_answers(batcher, SelfCheck(info.max_tokens, info.precision))
    except ReplicaBroken:
        pass  # the replica is set aside, and the log says why
    except WrongAnswers as wrong:
        log.error("self_check", model=info.name, wrong=str(wrong))
        batcher.condemn(f"its answers are wrong: {wrong}")
    except Exception:
        log.exception("settle_in")


async def _check_answers(batcher: Batcher, check: SelfCheck) -> None:
    """Raise WrongAnswers, or ReplicaBroken. Calls are answered between the batches."""
    for texts in check.batches():
        # A model may fail on a batch once, for want of memory say; no answer again is a wrong one.
        answers = await batcher.compute_apart(texts) or await batcher.compute_apart(texts)
        check.compare(texts, answers)
    log.info("self_check", **check.summary())
