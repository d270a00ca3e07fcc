"""Models made once for all tests."""

from __future__ import annotations

import pytest
from valence_service import logs

from tests.support import models


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    logs.configure(verbose=False)


@pytest.fixture(scope="session")
def two_labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small model with the labels NEGATIVE and POSITIVE."""
    return models.make_model(tmp_path_factory.mktemp("models") / "tiny", ["NEGATIVE", "POSITIVE"])
