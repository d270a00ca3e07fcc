"""The page's files are served, and need no exception from the policy that they are served with."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx2 as httpx
import pytest
from valence_service.transports.http.pages import STATIC

from tests.transports.http.conftest import Service

PAGES = {"/": "index.html", "/docs": "docs.html"}
TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
}
FILES = sorted(path.name for path in STATIC.iterdir())


class Elements(HTMLParser):
    """The elements of a page: each tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_a_page_loads_only_what_is_served_here(service: Service) -> None:
    for path, name in PAGES.items():
        response = await service.http.get(path, headers={"accept": "text/html"})
        assert response.text == (STATIC / name).read_text()
        await check_links(service, response)


async def check_links(service: Service, response: httpx.Response) -> None:
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    for tag, attributes in Elements(response.text).found:
        assert tag not in {"style", "base"}
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        assert tag != "script" or attributes["src"]
        for name in {"src", "href"} & set(attributes):
            link = attributes[name]
            assert link
            if link.startswith("data:"):
                continue
            # Relative to the page, so that it works below a prefix.
            assert not link.startswith(("/", "http"))
            there = await service.http.get(f"/{link.removeprefix('.')}")
            assert there.status_code == 200, link


async def test_a_file_is_what_it_is_called(service: Service) -> None:
    for name in FILES:
        response = await service.http.get(f"/static/{name}")
        assert response.content == (STATIC / name).read_bytes()
        assert response.headers["content-type"].partition(";")[0] == TYPES[name.split(".")[1]]
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_a_script_imports_what_there_is_and_writes_no_html(name: str) -> None:
    script = (STATIC / name).read_text()

    for module in re.findall(r'from "\./(.+)"', script):
        assert module in FILES
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", script)


async def test_no_other_file_is_served(service: Service) -> None:
    for name in ("", "none.js", "../app.py", "%2e%2e/app.py", "..%2fapp.py"):
        assert (await service.http.get(f"/static/{name}")).status_code == 404, name


async def test_programs_get_a_greeting(service: Service) -> None:
    assert (await service.http.get("/")).json() == {"message": "AI Server is running"}
