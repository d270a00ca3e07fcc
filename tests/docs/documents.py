"""The project's documents, and the examples in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A block of code in a document."""

    path: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Every page that people read."""
    folders = ("", "client", "model", "service", "protos", "examples", "deploy", "docs")
    return [path for folder in folders for path in sorted((ROOT / folder).glob("*.md"))]


def examples(language: str) -> list[Example]:
    """Those in that language, or in none (``""``), in all documents."""
    found = []
    for path in documents():
        text = path.read_text()
        for match in FENCE.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Example(path, line, language, match[2]))
    return found
