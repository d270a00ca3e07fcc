"""What the package offers, and that it brings no more than it says."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import valence_client
from valence_client import AsyncClient, Client

METHODS = [name for name in vars(Client) if not name.startswith("_")]


def parameters(kind: type, name: str) -> list[tuple[str, object, object]]:
    signature = inspect.signature(getattr(kind, name))
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


@pytest.mark.parametrize("name", METHODS)
def test_options_are_keyword_only_and_documented(name: str) -> None:
    optional = [p for p in parameters(Client, name) if p[2] is not inspect.Parameter.empty]
    if name != "wait_ready":
        assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, kind, _ in optional)
    assert getattr(Client, name).__doc__
    assert getattr(AsyncClient, name).__doc__


def test_every_public_name_is_there() -> None:
    assert valence_client.__all__ == sorted(valence_client.__all__)
    assert all(hasattr(valence_client, name) for name in valence_client.__all__)


def test_import_brings_no_machine_learning_and_no_server() -> None:
    code = "import sys, valence_client, valence_client.__main__; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    tops = {name.partition(".")[0] for name in modules}
    assert tops.isdisjoint({"torch", "transformers", "numpy", "valence_service", "valence_model"})
