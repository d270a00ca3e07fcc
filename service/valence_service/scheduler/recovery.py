"""Bring back a replica that was set aside."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import structlog

from valence_service.scheduler.canary import ReplicaBroken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from valence_service.core.classifier import Classifier
    from valence_service.scheduler.replica import Replica

# The time between two attempts.
RECOVERY_SECONDS = 1.0
log = structlog.get_logger()


class Recovery:
    """Asks the canary until the replica answers it; replaces the classifier where that helps."""

    def __init__(
        self,
        replica: Replica,
        check: Callable[[], Awaitable[None]],
        new_classifier: Callable[[], Classifier] | None,
        *,
        replace_seconds: float,
    ) -> None:
        """Ask the canary by check, which raises ReplicaBroken.

        To make a classifier may take replace_seconds: a large model is read from its files.
        """
        self._replica = replica
        self._check = check
        self._new_classifier = new_classifier
        self._replace_seconds = replace_seconds

    async def run(self) -> None:
        """Attempt it once a second, until the replica is well."""
        for attempt in itertools.count(1):
            await asyncio.sleep(RECOVERY_SECONDS)
            try:
                if await self._renew(attempt):
                    await self._check()
                    break
            except ReplicaBroken:
                continue
        self._replica.trouble = ""
        log.warning("replica_well")

    async def _renew(self, attempt: int) -> bool:
        """Renew what may be broken; return whether the replica can be asked.

        There are three cases:
        1. A thread is stuck in the classifier, which nothing else may use. Replace the classifier.
        2. The replica is broken. At the first attempt take a new thread.
        3. The replica was still broken at the first attempt. Replace the classifier at the second,
           fourth, eighth ... attempt: to make one takes the processor away from other replicas.
        """
        stuck = self._replica.stuck
        if self._new_classifier and self._replica.replaceable:
            power_of_two = attempt & (attempt - 1) == 0
            if power_of_two and (stuck or attempt > 1):
                await self._replace(self._new_classifier)
                return True
        if not stuck:
            await self._replica.renew_thread()
        return not stuck

    async def _replace(self, make: Callable[[], Classifier]) -> None:
        try:
            await self._replica.replace(make, limit_seconds=self._replace_seconds)
        except Exception as error:
            log.exception("replica_not_replaced")
            raise ReplicaBroken(f"no new classifier could be made: {error!r}") from error
        log.warning("replica_replaced")
