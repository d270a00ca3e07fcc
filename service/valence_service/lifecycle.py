"""The life of the service: start, ready, drain, stop."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.source import ModelUnusable
from valence_service.core.errors import Draining, Unhealthy
from valence_service.process import compute_thread, pause_collector, settle_collector
from valence_service.scheduler.canary import ReplicaBroken
from valence_service.scheduler.monitor import ReplicaLost, watch
from valence_service.scheduler.replica import ReplicaHung
from valence_service.serving.registry import ServedModel
from valence_service.signals import stop_signals
from valence_service.telemetry.start import send_rest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from valence_service.core.classifier import LoadedModel
    from valence_service.core.readiness import Readiness
    from valence_service.core.sentiment import ModelInfo
    from valence_service.process import Cores
    from valence_service.scheduler.batcher import Batcher
    from valence_service.serving.service import SentimentService
    from valence_service.telemetry.metrics import Metrics
    from valence_service.telemetry.traces import Traces
    from valence_service.transports.transport import Transport

# Load balancers see NOT_SERVING in this time and send no more; until then calls are taken.
LAME_DUCK_SECONDS = 0.5
# gRPC ends calls that have arrived and not yet begun with CANCELLED (grpc/grpc#41785). So it stops
# only once every text has its answer and no call has arrived for QUIESCENT_SECONDS; calls that do
# arrive get UNAVAILABLE.
QUIESCENT_SECONDS = 0.25
MAX_QUIESCENCE_SECONDS = 3.0
# For sending the last spans, within the grace.
SEND_SECONDS = 2.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Runs a wired system once."""

    service: SentimentService
    readiness: Readiness
    transports: Sequence[Transport]
    addresses: Mapping[str, str]
    """Where it listens, for the log."""
    cores: Cores
    model_name: str
    load: Callable[[], LoadedModel]
    """Blocks while it loads the model. Raises ModelUnusable."""
    new_batcher: Callable[[LoadedModel], Batcher]
    metrics: Metrics | None
    traces: Traces | None
    grace_seconds: float
    hang_seconds: float
    exit_when_degraded: bool
    """Whether to end once a replica has been lost for hang_seconds, though others answer."""
    quick_start: bool
    """Whether to serve before the largest batch has been computed once."""

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end within the grace.

        Raise ModelUnusable where there is nothing to serve, and ModelLost where the model no longer
        answers.
        """
        started = time.monotonic()
        ends = math.inf
        with stop_signals() as stop:
            for transport in self.transports:
                await transport.start()
            log.info(
                "starting",
                **self.addresses,
                model=self.model_name,
                cores=self.cores.count,
                cores_limited_by=self.cores.limited_by,
            )
            opening = asyncio.create_task(self._open())
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
                if opening.done():
                    model = opening.result()
                    self._announce(model, started)
                    lost = await self._serve_until(stopping, model.batcher)
                    ends = time.monotonic() + self.grace_seconds
                    await self._drain(model.batcher)
                    if lost:
                        raise lost
            finally:
                stopping.cancel()
                opening.cancel()
                await asyncio.gather(*(transport.stop(0) for transport in self.transports))
                if self.traces:
                    left = max(0.0, min(SEND_SECONDS, ends - time.monotonic()))
                    await send_rest(self.traces, left)
        log.info("stopped")

    def _announce(self, model: ServedModel, started: float) -> None:
        self.readiness.set(serving=True)
        log.info(
            "SERVING",
            **self.addresses,
            workers=model.batcher.replicas,
            seconds=round(time.monotonic() - started, 2),
            **_facts(model.info),
        )

    async def _open(self) -> ServedModel:
        """Load the model and take calls, once every replica is warm and has answered."""
        pause_collector()
        loaded = await self._load()
        model = ServedModel(loaded.info, self.new_batcher(loaded))
        await self._check(model.batcher)
        if not self.quick_start:
            await self._warm_up(model.batcher)
        settle_collector()
        self.service.open(model)
        if self.metrics:
            self.metrics.open(model.batcher, model.info)
        return model

    async def _check(self, batcher: Batcher) -> None:
        """Ask each replica twice. Raise ModelUnusable."""
        try:
            # The first batch of a replica also allocates and compiles: no client waits for it. The
            # second shows how long a text takes.
            for _ in range(2):
                await batcher.check_replicas(limit_seconds=self.hang_seconds)
        except ReplicaBroken as error:
            cause = error.__cause__ or error
            if isinstance(cause, ReplicaHung):
                raise ModelUnusable(
                    f"{self.model_name} has not answered in {self.hang_seconds:g} s; "
                    "--hang-seconds allows it more"
                ) from error
            raise ModelUnusable(f"{self.model_name} does not answer: {cause}") from error

    async def _warm_up(self, batcher: Batcher) -> None:
        """Compute the largest batch once. Raise ModelUnusable."""
        try:
            await batcher.warm_up()
        except ReplicaBroken as error:
            raise ModelUnusable(
                f"{self.model_name} does not compute a full batch: {error.__cause__ or error}; a "
                "lower --max-batch-tokens makes it shorter, and --hang-seconds allows it more"
            ) from error

    async def _load(self) -> LoadedModel:
        """Load in a thread: the loop answers health checks meanwhile."""
        # A pool of its own: asyncio would wait for its default one, and a SIGTERM must not wait for
        # a download. The engine's own threads have its priority.
        pool = compute_thread("load")
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, self.load)
        finally:
            pool.shutdown(wait=False)

    async def _serve_until(
        self, stopping: asyncio.Task[bool], batcher: Batcher
    ) -> ReplicaLost | None:
        """Serve; while the model does not answer, refuse calls. Raise ModelLost.

        Return at a signal, or with the replica that is lost where that ends the service.
        """

        def on_health_change(healthy: bool) -> None:
            self.readiness.set(serving=healthy)
            if healthy:
                self.service.resume()
            else:
                unhealthy = Unhealthy("the model no longer answers: call another server")
                self.service.refuse(unhealthy)
                batcher.fail_all(unhealthy)

        watching = asyncio.create_task(
            watch(
                batcher,
                on_health_change,
                hang_seconds=self.hang_seconds,
                exit_when_degraded=self.exit_when_degraded,
            )
        )
        warming_up = asyncio.create_task(self._warm_up_late(batcher))
        try:
            await asyncio.wait([stopping, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()  # it ends only by raising
        except ReplicaLost as lost:
            return lost
        finally:
            watching.cancel()
            warming_up.cancel()
        return None

    async def _warm_up_late(self, batcher: Batcher) -> None:
        if self.quick_start:
            with suppress(ReplicaBroken):  # the replica is set aside, and the log says why
                await batcher.warm_up()

    async def _drain(self, batcher: Batcher) -> None:
        """Give every accepted call its answer or UNAVAILABLE before the grace is over."""
        log.info("draining", grace_seconds=self.grace_seconds)
        ends = time.monotonic() + self.grace_seconds
        self.readiness.set(serving=False)
        await asyncio.sleep(min(LAME_DUCK_SECONDS, self.grace_seconds / 10))
        self.service.refuse(Draining("the server is ending: call another one"))
        self.readiness.end()
        for transport in self.transports:
            transport.end_idle()
        await self._wait_until_quiescent(
            batcher, min(MAX_QUIESCENCE_SECONDS, self.grace_seconds / 3)
        )
        left = max(0.0, ends - time.monotonic())
        stopped = asyncio.gather(*(transport.stop(left) for transport in self.transports))
        # The batcher fails what it could not compute a little before the transports cut calls off,
        # so that clients get UNAVAILABLE instead of hearing nothing.
        if not await batcher.close(timeout_seconds=left * 0.8):
            log.warning("abandoned", reason="a batch was still computing at the end of the grace")
        await stopped

    async def _wait_until_quiescent(self, batcher: Batcher, max_seconds: float) -> None:
        """Wait until every text has its answer and no call arrives any more."""
        ends = time.monotonic() + max_seconds
        quiescent = False
        while not quiescent and (asleep := time.monotonic()) < ends:
            refused, answered = self.service.refused_calls, batcher.idle
            await asyncio.sleep(QUIESCENT_SECONDS)
            # On a machine too busy to wake this loop in time, silence says nothing.
            on_time = time.monotonic() - asleep < 2 * QUIESCENT_SECONDS
            # And a client that has yet to be answered may well call again.
            quiescent = on_time and answered and refused == self.service.refused_calls


def _facts(info: ModelInfo) -> dict[str, str]:
    return {
        "model": info.name,
        "revision": info.revision,
        "engine": info.engine,
        "precision": info.precision,
        "device": info.device,
    } | ({"reason": info.engine_reason} if info.engine_reason else {})
