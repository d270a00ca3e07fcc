"""The page, the OpenAPI document and its page: static files, the same for everyone."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
}
# Scripts and styles are files of their own, so that the policy needs no exception for inline ones.
POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    # A server of a newer version has another page.
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes() -> list[Route]:
    """Return the routes of the files. Each is read once, so that all are of one version."""
    files = {path.name: path.read_bytes() for path in STATIC.iterdir()}

    def file(name: str) -> Response:
        return Response(files[name], media_type=MEDIA_TYPES[Path(name).suffix], headers=HEADERS)

    async def home(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return file("index.html")
        return JSONResponse({"message": "AI Server is running"})

    async def docs(_: Request) -> Response:
        return file("docs.html")

    async def openapi(_: Request) -> Response:
        return file("openapi.json")

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return file(name)

    return [
        Route("/", home, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/static/{name}", static, methods=["GET"], include_in_schema=False),
    ]
