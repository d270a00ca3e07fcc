"""A model and a server made once for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import valence_client  # noqa: F401  before grpc: it keeps the core's notes from the terminal
from valence_service import logs

from tests.support import models
from tests.support.server import Server, serving


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    logs.configure(verbose=False)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Conversions are kept for as long as the tests run, and none of the user's is touched."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # what one worker has converted, the other one need not
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


@pytest.fixture(scope="session")
def two_labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small model with the labels NEGATIVE and POSITIVE, which is built."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return models.make_model(folder, ["NEGATIVE", "POSITIVE"])


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small model that torch has to trace: an ALBERT."""
    return models.make_traced_model(tmp_path_factory.mktemp("models") / "traced")


@pytest.fixture(scope="session")
def tiny(two_labels: str) -> Iterator[Server]:
    """A server of the small model, exact to the third digit, for the tests that do it no harm."""
    with serving("--model", two_labels, "--precision", "f32") as server:
        yield server


@pytest.fixture(scope="session")
def embedded() -> Iterator[Server]:
    """A server of the embedded model, as `make run` starts it, for the tests that do it no harm."""
    with serving() as server:
        yield server
