"""A model hub on this machine: what huggingface_hub asks of the real one to fetch a model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass(frozen=True)
class Hub:
    """One model under each of some names, with one commit, which is the branch main."""

    address: str
    fetched: list[str] = field(default_factory=list)
    """The paths of the files that were fetched, in order."""

    def environment(self, cache: Path) -> Mapping[str, str]:
        """What points huggingface_hub here, its downloads kept in a folder."""
        return {"HF_ENDPOINT": self.address, "HF_HOME": str(cache)}


@contextmanager
def hub(folder: str, *names: str) -> Iterator[Hub]:
    """A hub that has the model in folder as each of the names."""
    files = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
    siblings = [{"rfilename": name} for name in files]
    tree = [
        {"type": "file", "path": name, "oid": _digest(content), "size": len(content)}
        for name, content in files.items()
    ]
    pages: dict[str, Any] = {}
    for name in names:
        for revision in ("main", COMMIT):
            facts = {"id": name, "sha": COMMIT, "siblings": siblings}
            pages[f"/api/models/{name}/revision/{revision}"] = facts
            pages[f"/api/models/{name}/tree/{revision}"] = tree

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            name, _, file = self.path.partition(f"/resolve/{COMMIT}/")
            if page := pages.get(self.path.partition("?")[0]):
                content = json.dumps(page).encode()
            elif name.removeprefix("/") in names and file in files:
                content = files[file]
            else:
                content = None
            self.send_response(404 if content is None else 200)
            self.send_header("content-length", str(len(content or b"")))
            self.send_header("etag", f'"{_digest(content or b"")}"')
            self.send_header("x-repo-commit", COMMIT)
            if content is None and self.path.startswith("/api/models/"):
                known = any(self.path.startswith(f"/api/models/{name}/") for name in names)
                self.send_header("x-error-code", "RevisionNotFound" if known else "RepoNotFound")
            self.end_headers()
            if body and content:
                self.wfile.write(content)
                if file:
                    found.fetched.append(file)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Hub(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
