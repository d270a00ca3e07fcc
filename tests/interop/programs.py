"""The examples of each language, as `make examples` has built them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "examples/README.md").read_text(encoding="utf-8")
PATIENCE_SECONDS = 120

# As examples/README.md has them.
EXAMPLES = {
    # The interpreter has grpcio-tools and nothing of ours.
    "python": ".venv-protos/bin/python examples/python/example.py",
    "node": "node examples/node/example.mjs",
    "go": "build/examples/go/example",
    "cpp": "build/examples/cpp/example",
}
LANGUAGES = [
    pytest.param(language, marks=getattr(pytest.mark, language), id=language)
    for language in EXAMPLES
]


def run(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command.split(), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def outcomes(
    language: str, address: str, calls: Iterable[tuple[str, dict[str, Any]]], folder: Path
) -> list[dict[str, Any]]:
    """What a language's conformance program says of calls made one after the other."""
    file = folder / "calls.jsonl"
    lines = [json.dumps({"method": method, "request": request}) for method, request in calls]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = run(re.sub(r"\bexample\b", "conformance", EXAMPLES[language]), address, file)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
