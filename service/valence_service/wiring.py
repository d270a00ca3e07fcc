"""The whole system: builds every part from the settings, and nothing else. Read this first.

A transport (``transports``) makes a ``CallScope`` of each call and asks the ``SentimentService``
(``serving``), which checks the request and queues its texts with the ``Batcher`` (``scheduler``).
The batcher's replicas of the model (``backends``) compute them. The ``Lifecycle`` starts and ends
all of it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.labels import parse_label_valence
from valence_service.backends.load import ModelSource, load_model, prepare_model
from valence_service.core.call import Telemetry
from valence_service.core.errors import REFUSALS
from valence_service.core.readiness import Readiness
from valence_service.lifecycle import Lifecycle
from valence_service.process import usable_cores
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.canary import Canary
from valence_service.segmentation.sentences import SentenceSegmenter
from valence_service.serving.division import Divider
from valence_service.serving.registry import ServedModel
from valence_service.serving.service import SentimentService
from valence_service.setting_errors import SettingsError
from valence_service.telemetry.start import read_trace_exporters, start_traces
from valence_service.transports.auth import Authenticator, BadTokens, Tokens
from valence_service.transports.contract import METHODS, SERVICE_NAME
from valence_service.transports.grpc.server import ConnectionLimits, GrpcTransport
from valence_service.transports.tls import BadCertificate, Certificates
from valence_service.transports.transport import CannotListen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.classifier import LoadedModel
    from valence_service.link import Link
    from valence_service.settings import Settings
    from valence_service.telemetry.metrics import Metrics
    from valence_service.transports.http.transport import HttpTransport
    from valence_service.transports.unary import UnaryService

log = structlog.get_logger()


def wire(settings: Settings, link: Link | None = None) -> Lifecycle:
    """Return the system. Belongs to the running loop.

    ``link`` leads to the supervisor, in one of several processes. Raise CannotListen without what
    the HTTP port needs, or SettingsError for files that the settings name and that are wrong.
    """
    # Two batches of one stream: one is computed while the next is read.
    service = SentimentService(settings.limits, window_texts=2 * settings.max_batch_texts)
    readiness = Readiness()
    services = _open_inference(service, readiness) if settings.open_inference else []
    others = {method.name: other.name for other in services for method in other.methods}
    metrics = _metrics(settings, service, readiness, (*METHODS, *others))
    traces = start_traces(SERVICE_NAME, read_trace_exporters(), others)
    telemetry = Telemetry(metrics, traces)
    transport = GrpcTransport(
        service,
        readiness,
        ConnectionLimits(
            max_calls=settings.max_connection_calls,
            idle_seconds=settings.max_connection_idle_seconds,
            age_seconds=settings.max_connection_age_seconds,
        ),
        telemetry,
        authenticator=_authenticator(settings),
        public_health=settings.public_health,
        public_reflection=settings.public_reflection,
        services=services,
        shares_port=link is not None,
    )
    http = None
    if settings.http_port is not None:
        http = _http_transport(
            settings, service, readiness, telemetry, shares_port=link is not None
        )
    cores = usable_cores(settings.cores)
    return Lifecycle(
        service=service,
        readiness=readiness,
        transports=[transport, http] if http else [transport],
        model_name=settings.model or "the embedded model",
        load=functools.partial(
            load_model,
            model_source(settings),
            replicas=settings.workers,
            cores=cores.count,
            max_micro_batch_tokens=settings.max_batch_tokens,
        ),
        serve=functools.partial(_served_model, settings, metrics),
        metrics=metrics,
        traces=traces,
        listen=functools.partial(_listen, settings, transport, http, metrics),
        listen_first=link is None,
        on_serving=link.serving if link else lambda _: None,
        cores=cores,
        grace_seconds=settings.grace_seconds,
        hang_seconds=settings.hang_seconds,
        exit_when_degraded=settings.exit_when_degraded,
        # The embedded model is known to compute its largest batch in time, and to answer right.
        quick_start=settings.model is None,
        self_check=settings.self_check,
    )


def _listen(
    settings: Settings,
    transport: GrpcTransport,
    http: HttpTransport | None,
    metrics: Metrics | None,
) -> dict[str, str]:
    """Take every address and return them by name. Raise CannotListen, or SettingsError."""
    try:
        addresses = {
            "address": transport.listen(settings.host, settings.port, _certificates(settings))
        }
        if http and settings.http_port is not None:
            addresses["http"] = http.listen(
                settings.http_host, settings.http_port, _certificates(settings)
            )
    except BadCertificate as error:
        raise SettingsError(str(error)) from error
    if metrics:
        addresses["metrics"] = _listen_for_scrapes(settings, metrics)
    return addresses


def prepare(settings: Settings) -> None:
    """Download and convert what wire would load, into the cache. Raise ModelUnusable."""
    prepare_model(model_source(settings))
    log.info("prepared", model=settings.model or "embedded", cache_dir=str(settings.cache_dir))


def model_source(settings: Settings) -> ModelSource:
    """Return which model the settings name, and how to compute it."""
    return ModelSource(
        name=settings.model,
        revision=settings.revision,
        engine=settings.engine,
        precision=settings.precision,
        device=settings.device,
        cache_dir=settings.cache_dir,
        label_valence=parse_label_valence(settings.label_valence),
        max_text_tokens=settings.max_text_tokens,
        exit_confidence=settings.exit_confidence,
        self_check=settings.self_check,
        allow_pickle=settings.allow_pickle,
    )


def _served_model(settings: Settings, metrics: Metrics | None, model: LoadedModel) -> ServedModel:
    batcher = Batcher(
        model.classifiers,
        max_batch_texts=settings.max_batch_texts,
        max_batch_tokens=settings.max_batch_tokens,
        max_queue_texts=settings.max_queue_texts,
        hang_seconds=settings.hang_seconds,
        new_classifier=model.new_classifier,
        # A mapping of the labels may say otherwise of the embedded model.
        canary=Canary(positive=settings.model is None and not settings.label_valence),
        observer=metrics,
    )
    if model.reader is None:
        return ServedModel(model.info, batcher)
    divider = Divider(SentenceSegmenter(), model.reader, max_tokens=model.info.max_tokens)
    return ServedModel(model.info, batcher, divider)


def _open_inference(service: SentimentService, readiness: Readiness) -> list[UnaryService]:
    from valence_service.transports.open_inference.service import OpenInference

    return [OpenInference(service, readiness).describe()]


def _metrics(
    settings: Settings, service: SentimentService, readiness: Readiness, methods: Sequence[str]
) -> Metrics | None:
    if settings.metrics_port is None:
        return None
    from valence_service.telemetry.metrics import Metrics

    return Metrics(
        methods=methods,
        refusals=REFUSALS,
        max_batch_texts=settings.max_batch_texts,
        serving=lambda: readiness.serving,
        open_streams=lambda: service.open_streams,
    )


def _http_transport(
    settings: Settings,
    service: SentimentService,
    readiness: Readiness,
    telemetry: Telemetry,
    *,
    shares_port: bool,
) -> HttpTransport:
    try:
        from valence_service.transports.http.transport import HttpTransport
    except ImportError as error:
        raise CannotListen(
            f"--http-port needs {error.name}: pip install 'valence-service[http]'"
        ) from error
    return HttpTransport(
        service,
        readiness,
        telemetry,
        authenticator=_authenticator(settings),
        origins=[o.strip() for o in settings.http_allowed_origins.split(",") if o.strip()],
        public_health=settings.public_health,
        idle_seconds=settings.max_connection_idle_seconds,
        shares_port=shares_port,
    )


def _listen_for_scrapes(settings: Settings, metrics: Metrics) -> str:
    from valence_service.telemetry.endpoint import CannotServe, serve_metrics

    if settings.metrics_port is None:
        raise AssertionError("metrics without a port")
    try:
        return serve_metrics(metrics.registry, settings.metrics_host, settings.metrics_port)
    except CannotServe as error:
        raise CannotListen(str(error)) from error


def _authenticator(settings: Settings) -> Authenticator | None:
    if not settings.token_file:
        return None
    try:
        return Authenticator(Tokens(settings.token_file))
    except BadTokens as error:
        raise SettingsError(f"--token-file {error}") from error


def _certificates(settings: Settings) -> Certificates | None:
    if not (settings.tls_certificate and settings.tls_key):
        return None
    return Certificates(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
