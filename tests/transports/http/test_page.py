"""The page in a real browser, on a real server."""

from __future__ import annotations

import csv
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route, expect

from tests.support.browser import browsing
from tests.support.server import launched
from tests.transports.http.conftest import CONNECT

pytestmark = pytest.mark.full

BATCH_TEXTS = 4
PATIENCE_MS = 20_000
TOKEN = "open-sesame-0123456789"  # not one of anyone's
# A policy's violations, as the browser tells them to the page itself.
WATCH = "addEventListener('securitypolicyviolation', (e) => console.error(e.effectiveDirective));"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    """A page of another origin on this machine."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def serving_pages(*flags: str) -> Iterator[str]:
    with launched(*flags, "--http-port", "0") as server:
        yield f"http://{server.event('SERVING')['http']}/"


@pytest.fixture(scope="module")
def url(two_labels: str) -> Iterator[str]:
    flags = ("--precision", "f32", "--max-batch-texts", str(BATCH_TEXTS))
    with serving_pages("--model", two_labels, *flags) as url:
        yield url


@pytest.fixture(scope="module")
def guarded_url(
    two_labels: str, other_origin: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server with a token that lets the other origin's pages call it."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    flags = ("--token-file", str(tokens), "--http-allowed-origins", other_origin)
    with serving_pages("--model", two_labels, "--precision", "f32", *flags) as url:
        yield url


@pytest.fixture
def complaints() -> list[str]:
    """The errors in the console, the policy's among them; none is expected after a test."""
    return []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    context.add_init_script(WATCH)
    page = context.new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def opened(page: Page, url: str) -> Page:
    """The page, once it knows the model."""
    page.goto(url)
    expect(page.locator("#model")).to_have_attribute("data-state", "ready")
    return page


def test_a_text(page: Page, url: str) -> None:
    opened(page, url)
    page.get_by_label("Text", exact=True).fill("I loved <b>every</b> minute")
    page.keyboard.press("Control+Enter")

    label = page.locator(".answer-label")
    expect(label).to_be_visible()
    answer = page.request.post(
        f"{url}{CONNECT[1:]}/Classify", data={"text": "I loved <b>every</b> minute"}
    ).json()["sentiment"]
    expect(label).to_have_text(answer["label"])
    expect(page.locator(".answer-score strong")).to_have_text(f"{answer['score']:.3f}")
    bars = page.get_by_role("list", name="Scores of all labels").get_by_role("listitem")
    assert [bar.inner_text().split()[0] for bar in bars.all()] == [
        score["label"] for score in answer["scores"]
    ]
    scale = page.get_by_role("img", name="Valence")
    assert f"{abs(answer['valence']):.2f}" in str(scale.get_attribute("aria-label"))
    expect(page.get_by_text(f"{answer['tokensTotal']} of {answer['tokensTotal']}")).to_be_visible()
    expect(page.locator("#status")).to_contain_text(f"{answer['label']}, score")


def test_the_sentences_of_a_text_are_in_colour_in_their_place(page: Page, url: str) -> None:
    text = "👨‍👩‍👧 <b>lovely</b>!\nNever again.  "
    opened(page, url)
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_label("Show each sentence").check()
    page.keyboard.press("Control+Enter")

    sentences = page.locator(".sentence")
    expect(sentences).to_have_count(2)
    assert sentences.all_inner_texts() == ["👨‍👩‍👧 <b>lovely</b>!", "Never again."]
    assert page.locator(".document").evaluate("(each) => each.textContent") == text
    answer = page.request.post(f"{url}v1/document", data={"text": text}).json()
    for shown, told in zip(sentences.all(), answer["sentences"], strict=True):
        sentiment = told["sentiment"]
        assert f"{sentiment['label']} {sentiment['score']:.3f}" in str(shown.get_attribute("title"))
    expect(page.locator(".answer-label")).to_have_text(answer["document"]["label"])
    # Lines are texts of their own, and have no sentences.
    page.get_by_label("Each line is a text").check()
    expect(page.get_by_label("Show each sentence")).to_be_hidden()


def test_how_much_of_a_text_the_model_read(page: Page, url: str) -> None:
    def add(route: Route) -> None:
        answer = route.fetch().json()
        answer["sentiment"] |= {"tokensUnknown": 7, "layersUsed": 1}
        route.fulfill(json=answer)

    opened(page, url)
    # Servers of later versions tell more.
    page.route("**/Classify", add)
    page.get_by_label("Text", exact=True).fill("good " * 2000)
    page.keyboard.press("Control+Enter")

    facts = page.locator("#result .facts")
    expect(facts).to_contain_text("no, it was truncated")
    for term, value in (("Unknown tokens", "7"), ("Layers computed", "1 of 2")):
        expect(facts.locator("div", has_text=term).locator("dd")).to_have_text(value)


def test_each_line_is_a_text(page: Page, url: str) -> None:
    opened(page, url)
    texts = [f"text {number} <i>markup</i>" for number in range(2 * BATCH_TEXTS + 2)]
    page.get_by_label("Text", exact=True).fill("\n\n".join(texts))
    page.get_by_label("Each line is a text").check()
    page.get_by_role("button", name="Classify").click()

    rows = page.locator("tbody tr")
    expect(rows).to_have_count(10)
    assert [row.locator(".text").inner_text() for row in rows.all()] == texts
    expect(page.get_by_role("img", name="Texts by valence")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("10 of 10 texts")
    page.get_by_role("button", name="#").click()
    assert rows.first.locator(".text").inner_text() == texts[-1]


FILES = {
    "lines.txt": ("\ufeffone\r\ntwo, three\n\n", ["one", "two, three"], None),
    "table.csv": (
        'id,body,date\r\n1,"a ""quoted"", and\r\nbroken line",x\r\n2,plain,y\r\n',
        ['a "quoted", and broken line', "plain"],
        "body",
    ),
    "semicolons.csv": (
        "n;what was said\n1;first, longer\n2;second",
        ["first, longer", "second"],
        "what was said",
    ),
    "objects.ndjson": ('{"text": "one\\ntwo"}\n"three"\n', ["one two", "three"], None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file(page: Page, url: str, tmp_path: Path, name: str) -> None:
    content, texts, column = FILES[name]
    (tmp_path / name).write_text(content, newline="")
    opened(page, url)
    page.locator("#file").set_input_files(tmp_path / name)

    expect(page.locator("#file-count")).to_have_text(f"{len(texts)} texts")
    if column:
        selected = page.get_by_label("Column with the text").locator("option:checked")
        expect(selected).to_have_text(column)
    page.get_by_role("button", name="Classify").click()
    cells = page.locator("tbody .text")
    expect(cells).to_have_count(len(texts))
    assert [" ".join(cell.inner_text().split()) for cell in cells.all()] == texts
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    with download.value.path().open(newline="") as saved:
        rows = list(csv.DictReader(saved))
    assert [" ".join(row["text"].split()) for row in rows] == texts
    assert all(row["label"] and row["valence"] for row in rows)
    page.get_by_role("button", name="Remove file").click()
    expect(page.get_by_label("Text", exact=True)).to_be_focused()


def test_a_file_is_dropped(page: Page, url: str) -> None:
    opened(page, url)
    dropped = page.evaluate_handle(
        "() => { const data = new DataTransfer();"
        " data.items.add(new File(['one\\ntwo'], 'dropped.txt')); return data; }"
    )
    page.dispatch_event("#form", "drop", {"dataTransfer": dropped})

    expect(page.locator("#file-name")).to_have_text("dropped.txt")


BAD_FILES = {
    "bad.ndjson": (b'"one"\n{"no": 1}\n', "bad.ndjson, line 2"),
    "bad.csv": (b'text\n"one\n', "bad.csv, row 2: a quote is not closed"),
    "bad.txt": (b"\xff\xfe", "bad.txt is not text in UTF-8"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read(page: Page, url: str, tmp_path: Path, name: str) -> None:
    content, told = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    opened(page, url)
    page.locator("#file").set_input_files(tmp_path / name)

    expect(page.get_by_role("alert")).to_contain_text(told)


def test_an_error_is_told_as_the_service_tells_it(
    page: Page, url: str, complaints: list[str]
) -> None:
    opened(page, url)
    page.get_by_role("button", name="Classify").click()

    alert = page.get_by_role("alert")
    for told in ("invalid_argument", "text: is empty or only white space", "INVALID_FIELD", "400"):
        expect(alert).to_contain_text(told)
    expect(alert.locator("dd").first).to_have_text("text")
    forgive(complaints, 400)


def test_a_bad_text_does_not_change_the_others(page: Page, url: str, tmp_path: Path) -> None:
    (tmp_path / "some.ndjson").write_text('"good"\n" "\n"bad"\n')
    opened(page, url)
    page.locator("#file").set_input_files(tmp_path / "some.ndjson")
    page.get_by_role("button", name="Classify").click()

    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("invalid_argument: is empty or only white space")
    expect(rows.nth(2).locator(".label")).to_be_visible()


def test_an_overload_is_waited_for(page: Page, url: str, complaints: list[str]) -> None:
    opened(page, url)
    # A real overload cannot be timed.
    refused = {
        "code": "resource_exhausted",
        "message": "the queue is full",
        # retry_delay { nanos: 1000000 }, without padding.
        "details": [{"type": "google.rpc.RetryInfo", "value": "CgQQwIQ9"}],
    }
    once = [refused]
    page.route(
        "**/BatchClassify",
        lambda route: route.fulfill(status=429, json=once.pop()) if once else route.continue_(),
    )
    page.get_by_label("Text", exact=True).fill("one\ntwo")
    page.get_by_label("Each line is a text").check()
    page.get_by_role("button", name="Classify").click()

    expect(page.locator("tbody tr")).to_have_count(2)
    assert once == []
    forgive(complaints, 429)


def test_a_stop_leaves_the_answers_that_came(page: Page, url: str) -> None:
    opened(page, url)
    asked: list[Route] = []

    def answer_the_first(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.continue_()

    page.route("**/BatchClassify", answer_the_first)
    page.get_by_label("Text", exact=True).fill("\n".join(["good"] * (BATCH_TEXTS + 1)))
    page.get_by_label("Each line is a text").check()
    page.keyboard.press("Control+Enter")
    share = BATCH_TEXTS / (BATCH_TEXTS + 1)
    expect(page.get_by_role("progressbar")).to_have_js_property("value", share)
    page.get_by_role("button", name="Stop").click()

    expect(page.locator("tbody tr")).to_have_count(BATCH_TEXTS)
    expect(page.locator("#status")).to_contain_text(f"{BATCH_TEXTS} of {BATCH_TEXTS + 1} texts")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_token_is_asked_for(page: Page, guarded_url: str, complaints: list[str]) -> None:
    page.goto(guarded_url)
    token = page.get_by_label("Access token")
    expect(token).to_be_focused()
    page.get_by_label("Text", exact=True).fill("I loved it")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("unauthenticated")
    token.fill(TOKEN)
    page.keyboard.press("Enter")

    expect(page.locator(".answer-label")).to_be_visible()
    expect(page.locator("#model")).to_have_attribute("data-state", "ready")
    page.get_by_text("This request in").click()
    code = page.locator("#snippets")
    expect(code).to_contain_text("$VALENCE_TOKEN")
    expect(code).not_to_contain_text(TOKEN)
    # In memory, and nowhere else.
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.context.cookies() == []
    page.reload()
    expect(token).to_have_value("")
    forgive(complaints, 401)


def test_the_keyboard_is_enough(page: Page, url: str) -> None:
    opened(page, url)
    focused = "document.activeElement"
    ids = []
    for _ in range(7):
        ids.append(page.evaluate(f"{focused}.id || {focused}.localName"))
        outline = page.evaluate(
            f"getComputedStyle({focused}.id === 'file' ? {focused}.nextSibling : {focused})"
            ".outlineStyle"
        )
        assert outline == "solid", ids
        page.keyboard.press("Tab")
    assert ids == ["text", "by-line", "by-sentence", "file", "send", "summary", "a"]

    page.get_by_label("Text", exact=True).focus()
    page.keyboard.type("good")
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".answer-label")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copy curl")).to_be_visible()


def test_the_command_that_is_shown_works(page: Page, url: str) -> None:
    opened(page, url)
    page.get_by_label("Text", exact=True).fill('it\'s "good" $HOME `id`\nand more \u2603')
    page.get_by_text("This request in").click()
    command = page.get_by_label("curl", exact=True).inner_text()
    page.get_by_role("button", name="Copy curl").click()
    expect(page.get_by_role("button", name="Copy curl")).not_to_have_text("Copy")

    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} --silent --fail"], capture_output=True, text=True, check=True
    )
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Classify").click()
    label = json.loads(done.stdout)["sentiment"]["label"]
    expect(page.locator(".answer-label")).to_have_text(label)
    program = page.get_by_label("Python", exact=True).inner_text()
    compile(program, "page", "exec")


def test_below_a_prefix(page: Page, url: str) -> None:
    below = f"{url}below/"
    page.route(f"{url}**", lambda route: route.abort())  # a later route goes first
    page.route(
        f"{below}**",
        lambda route: route.fulfill(
            response=route.fetch(url=route.request.url.replace(below, url))
        ),
    )
    opened(page, below)
    page.get_by_label("Text", exact=True).fill("good")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".answer-label")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="/analyze")).to_be_visible()
    assert page.url == f"{below}docs"


def test_the_policy_holds(page: Page, url: str, other_origin: str, complaints: list[str]) -> None:
    opened(page, url)
    written = "() => { document.body.innerHTML = '<b>' }"
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate(written)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.append("window.ran = true");
        document.body.append(script);
    }""")
    assert page.evaluate("window.ran") is None
    styled = "document.head.append(document.createElement('style'))"
    sent = f"fetch('{other_origin}', {{mode: 'no-cors'}}).catch(() => undefined)"
    for directive, attempt in (("style-src-elem", styled), ("connect-src", sent)):
        blocked = f"""() => new Promise((resolve) => {{
            addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
            setTimeout(resolve, {PATIENCE_MS}, "nothing is blocked");
            {attempt};
        }})"""
        assert page.evaluate(blocked) == directive
    complaints.clear()


def test_pages_of_other_origins(
    context: BrowserContext, url: str, guarded_url: str, other_origin: str
) -> None:
    page = context.new_page()
    page.goto(other_origin)
    call = """([url, token]) => fetch(`${url}valence.v1.SentimentService/GetModel`, {
        method: "POST", body: "{}",
        headers: {"content-type": "application/json", authorization: `Bearer ${token}`},
    }).then(async (response) => [
        response.status, response.headers.get("x-request-id"), await response.json(),
    ], (error) => error.name)"""

    assert page.evaluate(call, [url, ""]) == "TypeError"
    status, request_id, model = page.evaluate(call, [guarded_url, TOKEN])
    assert status == 200
    assert request_id
    assert model["model"]["limits"]
    # A refusal can be read as well.
    status, _, error = page.evaluate(call, [guarded_url, "wrong"])
    assert (status, error["code"]) == (401, "unauthenticated")


def test_the_page_of_the_document(page: Page, url: str) -> None:
    api = page.request.get(f"{url}openapi.json").json()
    page.goto(f"{url}docs")

    expect(page.locator("main section")).to_have_count(
        1 + len(api["paths"]) + len(api["components"]["schemas"])
    )
    fields = page.get_by_role("region", name="Sentiment", exact=True)
    expect(fields).to_contain_text("tokensTotal")
    expect(fields).to_contain_text("Whether the model read less than the whole text.")
    links = page.locator("#contents a, #body a").evaluate_all(
        "links => links.filter(link => !document.getElementById(link.hash.slice(1))).length"
    )
    assert links == 0
    command = page.get_by_role("region", name=f"POST {CONNECT}/BatchClassify").locator("pre").last
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command.inner_text()} --silent --fail"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(done.stdout)["results"]) == 2


def forgive(complaints: list[str], status: int) -> None:
    """Drop the browser's own line for each response with that status."""
    line = f"the server responded with a status of {status}"
    complaints[:] = [complaint for complaint in complaints if line not in complaint]
