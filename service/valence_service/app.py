"""The whole system: which parts there are, in which order they start, and how they end."""

from __future__ import annotations

import asyncio
import functools
import gc
import math
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.load import (
    ModelSource,
    ModelUnusable,
    load_model,
    prepare_model,
)
from valence_service.core.errors import Draining, Unhealthy
from valence_service.core.limits import Limits
from valence_service.process import compute_thread
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.canary import Canary, ReplicaBroken
from valence_service.scheduler.monitor import watch
from valence_service.settings import parse_label_valence, read_trace_exporters
from valence_service.telemetry.start import send_rest, start_traces
from valence_service.transports.auth import Authenticate, BadTokens, Tokens
from valence_service.transports.grpc.calls import METHODS, SERVICE_NAME, Telemetry
from valence_service.transports.grpc.health import HealthServicer
from valence_service.transports.grpc.server import (
    HEALTH_METHODS,
    REFLECTION_METHODS,
    CannotListen,
    ConnectionLimits,
    build_server,
    listen,
)
from valence_service.transports.grpc.servicer import SentimentServicer
from valence_service.transports.grpc.status import REFUSALS
from valence_service.transports.tls import Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from valence_service.backends.load import LoadedModel
    from valence_service.core.sentiment import ModelInfo
    from valence_service.settings import Settings
    from valence_service.telemetry.metrics import Metrics

# Load balancers learn of NOT_SERVING in this time and send no more; until then calls are taken.
LAME_DUCK_SECONDS = 0.5
# grpc ends calls that have arrived and not yet begun with CANCELLED (grpc/grpc#41785). So it is
# told to stop only when all is answered and none has arrived for QUIET_SECONDS; those that do are
# told UNAVAILABLE.
QUIET_SECONDS = 0.25
QUIET_AT_MOST_SECONDS = 3.0
# For the last spans to be sent, within the grace.
SEND_SECONDS = 2.0
# So many new objects are left before the collector looks at the youngest.
COLLECTED_OBJECTS = 10_000
log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then end within the grace.

    Raises CannotListen and ModelUnusable where there is nothing to serve, and ModelLost where the
    model answers no more.
    """
    started = time.monotonic()
    limits = Limits(
        max_text_bytes=settings.max_text_bytes, max_batch_texts=settings.max_batch_texts
    )
    # Two batches of one stream: one is computed while the next is read.
    servicer = SentimentServicer(limits, window_texts=2 * settings.max_batch_texts)
    health = HealthServicer(SERVICE_NAME)
    metrics, metrics_facts = _metrics(settings, servicer, health)
    traces = start_traces(SERVICE_NAME, read_trace_exporters())
    telemetry = Telemetry(metrics, traces)
    server = build_server(
        servicer,
        health,
        limits,
        ConnectionLimits(
            max_calls=settings.max_connection_calls,
            idle_seconds=settings.max_connection_idle_seconds,
            age_seconds=settings.max_connection_age_seconds,
        ),
        _authenticate(settings, telemetry),
        telemetry=telemetry,
    )
    address = listen(server, settings.host, settings.port, _certificates(settings))
    with _stop_signals() as stop:
        await server.start()
        log.info("starting", address=address, model=settings.model or "embedded", **metrics_facts)
        if settings.max_queue_texts < settings.max_batch_texts:
            log.warning(
                "small_queue",
                hint=f"a BatchClassify of more than --max-queue-texts {settings.max_queue_texts} "
                f"never finds room, though --max-batch-texts {settings.max_batch_texts} allows it",
            )
        # Imports create much and drop little, so the collector would only cost time. And where
        # it meets one of grpc's objects while an import holds logging's lock, grpc can deadlock
        # (grpc/grpc#43421).
        gc.disable()
        opening = asyncio.create_task(_open(settings, servicer, metrics))
        stopping = asyncio.create_task(stop.wait())
        ends = math.inf
        try:
            await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                batcher, info = opening.result()
                health.set(serving=True)
                log.info(
                    "SERVING",
                    address=address,
                    **metrics_facts,
                    workers=batcher.replicas,
                    seconds=round(time.monotonic() - started, 2),
                    **_facts(info),
                )
                await _serve_until(stopping, batcher, servicer, health, settings.hang_seconds)
                ends = time.monotonic() + settings.grace_seconds
                await _drain(server, servicer, health, batcher, settings.grace_seconds)
        finally:
            stopping.cancel()
            opening.cancel()
            await server.stop(0)
            if traces:
                await send_rest(traces, max(0.0, min(SEND_SECONDS, ends - time.monotonic())))
    log.info("stopped")


def _metrics(
    settings: Settings, servicer: SentimentServicer, health: HealthServicer
) -> tuple[Metrics | None, dict[str, str]]:
    """The metrics, if they are wanted, and for the log where they can be scraped."""
    if settings.metrics_port is None:
        return None, {}
    from valence_service.telemetry.endpoint import CannotServe, serve_metrics
    from valence_service.telemetry.metrics import Metrics

    metrics = Metrics(
        methods=METHODS,
        refusals=REFUSALS,
        max_batch_texts=settings.max_batch_texts,
        serving=lambda: health.serving,
        open_streams=lambda: servicer.open_streams,
    )
    try:
        address = serve_metrics(metrics.registry, settings.metrics_host, settings.metrics_port)
    except CannotServe as error:
        raise CannotListen(str(error)) from error
    return metrics, {"metrics": address}


def _authenticate(settings: Settings, telemetry: Telemetry) -> Authenticate | None:
    if not settings.token_file:
        return None
    public = []
    if settings.public_health:
        public.append(HEALTH_METHODS)
    if settings.public_reflection:
        public.append(REFLECTION_METHODS)
    try:
        return Authenticate(Tokens(settings.token_file), public=tuple(public), telemetry=telemetry)
    except BadTokens as error:
        raise CannotListen(str(error)) from error


def _certificates(settings: Settings) -> Certificates | None:
    if not (settings.tls_certificate and settings.tls_key):
        return None
    return Certificates(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def prepare(settings: Settings) -> None:
    """Download and convert what serve would, into the cache. Raises ModelUnusable."""
    prepare_model(_model_source(settings))
    log.info("prepared", model=settings.model or "embedded", cache_dir=str(settings.cache_dir))


def _model_source(settings: Settings) -> ModelSource:
    return ModelSource(
        name=settings.model,
        revision=settings.revision,
        engine=settings.engine,
        precision=settings.precision,
        device=settings.device,
        cache_dir=settings.cache_dir,
        label_valence=parse_label_valence(settings.label_valence),
        allow_pickle=settings.allow_pickle,
    )


async def _load(settings: Settings) -> LoadedModel:
    """In a thread: the loop answers health checks meanwhile."""
    load = functools.partial(
        load_model,
        _model_source(settings),
        replicas=settings.workers,
        cores=len(os.sched_getaffinity(0)),
        max_micro_batch_tokens=settings.max_batch_tokens,
    )
    # A pool of its own: asyncio would wait for its default one, and a SIGTERM must not wait for
    # a download. The engine's own threads have its priority.
    pool = compute_thread("load")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, load)
    finally:
        pool.shutdown(wait=False)


async def _open(
    settings: Settings, servicer: SentimentServicer, metrics: Metrics | None
) -> tuple[Batcher, ModelInfo]:
    """Load the model; a batcher whose every replica is warm and has answered, open to calls."""
    loaded = await _load(settings)
    info = loaded.info
    name = settings.model or "the embedded model"
    batcher = Batcher(
        loaded.classifiers,
        max_batch_texts=settings.max_batch_texts,
        max_batch_tokens=settings.max_batch_tokens,
        max_queue_texts=settings.max_queue_texts,
        canary=Canary(positive=settings.model is None),
        observer=metrics,
    )
    try:
        # The first pass through a replica also allocates and compiles: let no caller wait for it.
        # The second shows how long a text takes.
        for _ in range(2):
            async with asyncio.timeout(settings.hang_seconds):
                await batcher.check_replicas()
    except TimeoutError as error:
        raise ModelUnusable(
            f"{name} has not answered in {settings.hang_seconds:g} s; --hang-seconds allows it more"
        ) from error
    except ReplicaBroken as error:
        raise ModelUnusable(f"{name} does not answer: {error.__cause__ or error}") from error
    # What lives by now lives to the end: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    # A call's objects go with the call. At Python's own 700 the collector looks at those of calls
    # under way again and again: under thousands of them, a twelfth of the event loop's time.
    gc.set_threshold(COLLECTED_OBJECTS)
    gc.enable()
    servicer.open(batcher, info)
    if metrics:
        metrics.open(batcher, info)
    return batcher, info


async def _serve_until(
    stopping: asyncio.Task[bool],
    batcher: Batcher,
    servicer: SentimentServicer,
    health: HealthServicer,
    hang_seconds: float,
) -> None:
    """Serve; while the model does not answer, say so and refuse. Raises ModelLost."""

    def tell(healthy: bool) -> None:
        health.set(serving=healthy)
        if healthy:
            servicer.refusal = None
        else:
            unhealthy = Unhealthy("the model no longer answers: call another server")
            servicer.refuse(unhealthy)
            batcher.fail_all(unhealthy)

    watching = asyncio.create_task(watch(batcher, tell, hang_seconds=hang_seconds))
    await asyncio.wait([stopping, watching], return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        watching.result()  # it ends only by raising
    watching.cancel()


async def _drain(
    server: grpc.aio.Server,
    servicer: SentimentServicer,
    health: HealthServicer,
    batcher: Batcher,
    grace_seconds: float,
) -> None:
    """Every accepted call gets its answer or UNAVAILABLE before the grace is over."""
    log.info("draining", grace_seconds=grace_seconds)
    ends = time.monotonic() + grace_seconds
    health.set(serving=False)
    await asyncio.sleep(min(LAME_DUCK_SECONDS, grace_seconds / 10))
    servicer.refuse(Draining("the server is ending: call another one"))
    health.end()
    await _wait_until_quiescent(servicer, batcher, min(QUIET_AT_MOST_SECONDS, grace_seconds / 3))
    left = max(0.0, ends - time.monotonic())
    stopped = asyncio.create_task(server.stop(left))
    # The batcher fails what it could not compute a little before the server cuts calls off, so
    # that callers are told UNAVAILABLE instead of hearing nothing.
    if not await batcher.close(timeout_seconds=left * 0.8):
        log.warning("abandoned", reason="a batch was still being computed at the end of the grace")
    await stopped


async def _wait_until_quiescent(
    servicer: SentimentServicer, batcher: Batcher, at_most_seconds: float
) -> None:
    """Until all is answered and no call arrives any more, or the time is over."""
    ends = time.monotonic() + at_most_seconds
    quiet = False
    while not quiet and (asleep := time.monotonic()) < ends:
        refused, answered = servicer.refused_calls, batcher.idle
        await asyncio.sleep(QUIET_SECONDS)
        # On a machine too busy to wake this loop in time, silence says nothing.
        on_time = time.monotonic() - asleep < 2 * QUIET_SECONDS
        # And who is still to be answered may well call again.
        quiet = on_time and answered and refused == servicer.refused_calls


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    numbers = (signal.SIGTERM, signal.SIGINT)

    def first() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, first)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _facts(info: ModelInfo) -> dict[str, str]:
    return {
        "model": info.name,
        "revision": info.revision,
        "engine": info.engine,
        "precision": info.precision,
        "device": info.device,
    } | ({"reason": info.engine_reason} if info.engine_reason else {})
