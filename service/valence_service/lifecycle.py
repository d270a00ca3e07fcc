"""The life of the service: start, ready, drain, stop."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from valence_service.after_start import settle_in
from valence_service.backends.source import ModelUnavailable
from valence_service.core.errors import Unhealthy
from valence_service.drain import drain
from valence_service.process import compute_thread, pause_collector, settle_collector
from valence_service.scheduler.canary import ReplicaBroken
from valence_service.scheduler.monitor import ModelLost, ReplicaLost, watch
from valence_service.scheduler.replica import ReplicaHung
from valence_service.signals import stop_signals
from valence_service.telemetry.start import send_rest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from valence_service.core.classifier import LoadedModel
    from valence_service.core.readiness import Readiness
    from valence_service.core.sentiment import ModelInfo
    from valence_service.process import Cores
    from valence_service.scheduler.batcher import Batcher
    from valence_service.serving.registry import ServedModel
    from valence_service.serving.service import SentimentService
    from valence_service.telemetry.metrics import Metrics
    from valence_service.telemetry.traces import Traces
    from valence_service.transports.transport import Transport

# For sending the last spans, within the grace.
SEND_SECONDS = 2.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Runs a wired system once."""

    service: SentimentService
    readiness: Readiness
    transports: Sequence[Transport]
    listen: Callable[[], Mapping[str, str]]
    """Takes the addresses and returns them. Raises CannotListen, or SettingsError."""
    listen_first: bool
    """Whether to listen while the model loads, and answer health checks."""
    on_serving: Callable[[Mapping[str, str]], None]
    """Called with the addresses, once it serves."""
    cores: Cores
    model_name: str
    load: Callable[[], LoadedModel]
    """Blocks while it loads the model. Raises ModelUnusable."""
    serve: Callable[[LoadedModel], ServedModel]
    """Makes of a loaded model one that answers."""
    metrics: Metrics | None
    traces: Traces | None
    grace_seconds: float
    hang_seconds: float
    exit_when_degraded: bool
    """Whether to end once a replica has been lost for hang_seconds, though others answer."""
    quick_start: bool
    """Whether to serve before the largest batch has been computed once, and the self-check."""
    self_check: bool
    """Whether to check the model's answers after a quick start. Another start loads it checked."""

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end within the grace.

        Raise CannotListen, or SettingsError for files that the settings name and that are wrong;
        ModelUnusable where there is nothing to serve; ModelLost where the model no longer answers.
        """
        started = time.monotonic()
        ends = math.inf
        with stop_signals() as stop:
            addresses = await self._listen() if self.listen_first else {}
            log.info(
                "starting",
                **addresses,
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
                    if not self.listen_first:
                        addresses = await self._listen()
                    self._announce(model, addresses, started)
                    # Not cancelled before the drain has ended: its thread would compute on, and
                    # keep the replica from the texts that were accepted.
                    settling_in = asyncio.create_task(self._settle_in(model))
                    lost = await self._serve_until(stopping, model.batcher)
                    ends = time.monotonic() + self.grace_seconds
                    await drain(
                        self.service,
                        self.readiness,
                        self.transports,
                        model,
                        grace_seconds=self.grace_seconds,
                    )
                    settling_in.cancel()
                    model.close()
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

    async def _listen(self) -> Mapping[str, str]:
        addresses = self.listen()
        for transport in self.transports:
            await transport.start()
        return addresses

    def _announce(self, model: ServedModel, addresses: Mapping[str, str], started: float) -> None:
        self.readiness.set(serving=True)
        self.on_serving(addresses)
        log.info(
            "SERVING",
            **addresses,
            workers=model.batcher.replicas,
            seconds=round(time.monotonic() - started, 2),
            **_facts(model.info),
        )

    async def _open(self) -> ServedModel:
        """Load the model and take calls, once every replica is warm and has answered."""
        pause_collector()
        loaded = await self._load()
        model = self.serve(loaded)
        try:
            await self._check(model.batcher)
            if not self.quick_start:
                await self._warm_up(model.batcher)
        except BaseException:
            await model.batcher.close(timeout_seconds=0)
            raise
        settle_collector()
        self.service.open(model)
        if self.metrics:
            self.metrics.open(model.batcher, model.info)
        return model

    async def _check(self, batcher: Batcher) -> None:
        """Ask each replica twice. Raise ModelUnavailable."""
        try:
            # The first batch of a replica also allocates and compiles: no client waits for it. The
            # second shows how long a text takes.
            for _ in range(2):
                await batcher.check_replicas(limit_seconds=self.hang_seconds)
        except ReplicaBroken as error:
            cause = error.__cause__ or error
            if isinstance(cause, ReplicaHung):
                raise ModelUnavailable(
                    f"{self.model_name} has not answered in {self.hang_seconds:g} s; "
                    "--hang-seconds allows it more"
                ) from error
            raise ModelUnavailable(f"{self.model_name} does not answer: {cause}") from error

    async def _warm_up(self, batcher: Batcher) -> None:
        """Compute the largest batch once. Raise ModelUnavailable."""
        try:
            await batcher.warm_up()
        except ReplicaBroken as error:
            raise ModelUnavailable(
                f"{self.model_name} does not compute a full batch: {error.__cause__ or error}; a "
                "lower --max-batch-tokens makes it shorter, and --hang-seconds allows it more"
            ) from error

    async def _settle_in(self, model: ServedModel) -> None:
        if self.quick_start:
            await settle_in(model.batcher, model.info, self_check=self.self_check)

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
        try:
            await asyncio.wait([stopping, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()  # it ends only by raising
        except ReplicaLost as lost:
            return lost
        except ModelLost:
            await batcher.close(timeout_seconds=0)
            raise
        finally:
            watching.cancel()
        return None


def _facts(info: ModelInfo) -> dict[str, str]:
    return {
        "model": info.name,
        "revision": info.revision,
        "engine": info.engine,
        "precision": info.precision,
        "device": info.device,
    } | ({"reason": info.engine_reason} if info.engine_reason else {})
