"""Chromium, as playwright drives it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.docs.documents import ROOT

ARGUMENTS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    # Nothing is called but the server of the test.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium; says how to install it where it is missing."""
    subprocess.run([ROOT / ".ci/toolchains", "check", "chromium"], check=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        yield browser
        browser.close()
