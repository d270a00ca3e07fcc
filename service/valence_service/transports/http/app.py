"""The paths of the HTTP port."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from valence_service.core.call import REQUEST_ID, Outcome
from valence_service.core.failure import explain
from valence_service.transports.contract import METHODS
from valence_service.transports.http.calls import Endpoint
from valence_service.transports.http.connect import PATH, ConnectApp
from valence_service.transports.http.errors import error_response, json_error
from valence_service.transports.http.json_api import JsonApi
from valence_service.transports.http.json_text import MAX_SHOWN_CHARACTERS
from valence_service.transports.http.ndjson import STREAM_PATH, StreamEndpoint
from valence_service.transports.http.pages import page_routes
from valence_service.transports.methods import UnaryMethods

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from valence_service.core.readiness import Readiness
    from valence_service.serving.service import SentimentService
    from valence_service.transports.http.calls import Gate

log = structlog.get_logger()
# What browsers' clients of Connect, gRPC-Web and traces send and read.
REQUEST_HEADERS = (
    *("authorization", "content-type", "connect-protocol-version", "connect-timeout-ms"),
    *("grpc-timeout", "x-grpc-web", "x-user-agent", "traceparent", REQUEST_ID),
)
RESPONSE_HEADERS = (
    *("grpc-status", "grpc-message", "grpc-status-details-bin"),
    *("retry-after", REQUEST_ID),
)


def make_app(
    service: SentimentService,
    readiness: Readiness,
    gate: Gate,
    *,
    origins: Sequence[str],
    public_health: bool,
) -> Starlette:
    """Return the ASGI application. Pages of the origins may call it; others may not."""
    api = JsonApi(service)
    methods = {method.name: method for method in UnaryMethods(service).describe()}
    connect = ConnectApp(tuple(methods.values()), gate, service.limits)
    routes = [
        *page_routes(),
        Route(
            "/healthz", _Health(gate, lambda: True, "alive", public=public_health), methods=["GET"]
        ),
        Route(
            "/readyz",
            _Health(gate, lambda: readiness.serving, "SERVING", public=public_health),
            methods=["GET"],
        ),
        Route(
            "/analyze",
            Endpoint(gate, methods["Classify"], api.analyze, "/analyze"),
            methods=["POST"],
        ),
        Route(
            "/models/{name:path}",
            Endpoint(gate, methods["BatchClassify"], api.infer, "/models/{name}"),
            methods=["POST"],
        ),
        Route(
            "/v1/document",
            Endpoint(gate, methods["ClassifyDocument"], api.document, "/v1/document"),
            methods=["POST"],
        ),
        Route(STREAM_PATH, StreamEndpoint(service, gate), methods=["POST"]),
        *(Route(f"{PATH}/{name}", connect, methods=["POST"]) for name in METHODS),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
        max_age=7200,
    )
    app = Starlette(
        routes=routes,
        middleware=[*([cors] if origins else []), Middleware(OwnPages, origins=origins)],
        exception_handlers={HTTPException: _no_such_path},
    )
    # It would send clients wherever their header "host" says.
    app.router.redirect_slashes = False
    return app


class OwnPages:
    """Refuses what pages of other origins post.

    Without CORS they cannot read an answer, but a browser would send a plain text for them, and the
    service would compute it.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless a browser says that another page has made it."""
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        if (
            scope["method"] == "POST"
            and _is_of_another_page(headers)
            and not {"*", origin} & set(self._origins)
        ):
            message = f"pages of {origin} may not call: --http-allowed-origins names those that may"
            refusal = json_error(Outcome.PERMISSION_DENIED, message, HTTPStatus.FORBIDDEN)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_of_another_page(headers: Headers) -> bool:
    """Return whether a browser made the request for a page of another origin.

    Browsers say so by sec-fetch-site to what they trust, which is TLS and this machine.
    """
    if site := headers.get("sec-fetch-site"):
        return site in ("cross-site", "same-site")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


class LoggedErrors:
    """Logs an error that the application raises: uvicorn would show its text to nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and say INTERNAL where it gets no response."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("http_error", path=scope["path"])
            if not started:
                status = HTTPStatus.INTERNAL_SERVER_ERROR
                message = "the server has failed: its log says why"
                await json_error(Outcome.INTERNAL, message, status)(scope, receive, send)


class _Health:
    """Says whether the process lives, or serves: an ASGI application."""

    def __init__(self, gate: Gate, healthy: Callable[[], bool], well: str, *, public: bool) -> None:
        self._gate = gate
        self._healthy = healthy
        self._well = well
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 or 503."""
        if not self._public and (refusal := self._gate.refusal(scope)):
            response = error_response(refusal, explain(refusal))
        elif self._healthy():
            response = JSONResponse({"status": self._well})
        else:
            response = JSONResponse({"status": "NOT_SERVING"}, HTTPStatus.SERVICE_UNAVAILABLE)
        await response(scope, receive, send)


async def _no_such_path(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.scope["path"][:MAX_SHOWN_CHARACTERS]
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        outcome = Outcome.UNIMPLEMENTED
        message = f"{path} takes {dict(error.headers or {}).get('Allow', 'another method')}"
    else:
        outcome = Outcome.NOT_FOUND
        there = ", ".join(route.path.replace(":path", "") for route in request.app.routes)
        message = f"{path} is not here: there are {there}"
    response = json_error(outcome, message, HTTPStatus(error.status_code))
    response.headers.update(error.headers or {})
    return response
