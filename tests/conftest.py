"""Models made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from valence_service import logs

from tests.support import models


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    logs.configure(verbose=False)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Conversions are kept for as long as the tests run, and none of the user's is touched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def two_labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small model with the labels NEGATIVE and POSITIVE."""
    return models.make_model(tmp_path_factory.mktemp("models") / "tiny", ["NEGATIVE", "POSITIVE"])
