"""Links between the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import FENCE, ROOT, documents

LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|href)="([^"]+)\"""")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """As they are made from headings where Markdown is shown."""
    text = FENCE.sub("", path.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


@pytest.mark.parametrize(
    "path",
    [*documents(), *sorted((ROOT / "docs/decisions").glob("*.md"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links(path: Path) -> None:
    for found in LINK.findall(FENCE.sub("", path.read_text())):
        link = "".join(found)
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        aim = (path.parent / target) if target else path
        assert aim.exists(), link
        if anchor:
            assert anchor in anchors(aim), link
