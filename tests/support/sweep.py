"""Try each architecture, and write how it is served into docs/models.md.

python -m tests.support.sweep            try all, and write the page
python -m tests.support.sweep bert gpt2  try these, and print a line of JSON for each
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.models import WORDS
from tests.support.server import environment

PAGE = Path(__file__).parents[2] / "docs/models.md"
BEGIN, END = "<!-- the sweep writes this -->\n", "<!-- to here -->\n"
PROCESSES = 2
# Of texts that the self-check does not use.
WORD_COUNTS = (2, 4, 11, 19, 31, 70, 129, 200, 257, 600)
WITHIN = 1e-3


def try_all(kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The outcome of each, by processes that share the work: one that crashes takes few along."""
    parts = [kinds[start::PROCESSES] for start in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as threads:
        outcomes = [json.loads(line) for part in threads.map(_lines, parts) for line in part]
    return {outcome["kind"]: outcome for outcome in outcomes}


def _lines(kinds: Sequence[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.sweep", *kinds],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        env=environment({"OMP_NUM_THREADS": "1"}),
    )
    return done.stdout.splitlines()


def try_one(kind: str, folder: Path) -> dict[str, Any]:
    """How a model is served, and by how much its answers miss those of the plain pipeline."""
    import transformers
    from valence_service.backends.load import ModelUnusable

    from tests.support.architectures import make_architecture
    from tests.support.loading import load_replicas, model_source

    name = make_architecture(kind, folder / kind)
    plain: Any = transformers.pipeline("text-classification", model=name, device="cpu")
    chosen = random.Random(7)  # noqa: S311  # no secret
    texts = [" ".join(chosen.choice(WORDS) for _ in range(count)) for count in WORD_COUNTS]
    expected = [
        {item["label"]: item["score"] for item in plain([text], top_k=None, truncation=True)[0]}
        for text in texts
    ]
    source = model_source(name, engine="auto", cache_dir=folder / "cache")
    try:
        classifier: Any = load_replicas(source, 1).classifiers[0]
    except ModelUnusable as error:
        return {"kind": kind, "served": "refused", "reason": str(error)}
    alone = [classifier.classify([text])[0] for text in texts]
    mixed = [*texts, *texts[:5]]
    chosen.shuffle(mixed)
    company = classifier.classify(mixed)
    misses = [
        abs(item.score - expected[texts.index(text)][item.label])
        for text, sentiment in zip([*texts, *mixed], [*alone, *company], strict=True)
        for item in sentiment.scores
    ]
    served = classifier.info.engine
    if classifier.one_by_one:
        served += ", one text at a time"
    return {"kind": kind, "served": served, "miss": max(misses)}


def table(outcomes: dict[str, dict[str, Any]]) -> str:
    """The page's table: how each architecture is served."""
    ways: dict[str, list[str]] = {}
    for kind, outcome in sorted(outcomes.items()):
        ways.setdefault(outcome["served"], []).append(f"`{kind}`")
    rows = [f"| {way} | {', '.join(kinds)} |" for way, kinds in sorted(ways.items())]
    return "\n".join(["| served by | architectures |", "|---|---|", *rows, ""])


def told() -> str:
    """The table that the page has."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def _print(kinds: Sequence[str]) -> None:
    import transformers
    from structlog.testing import capture_logs

    transformers.utils.logging.disable_progress_bar()
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder, capture_logs():
            print(json.dumps(try_one(kind, Path(folder))), flush=True)


def main() -> None:
    kinds = sys.argv[1:]
    if kinds:
        _print(kinds)
        return
    from tests.support.architectures import architectures

    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(try_all(architectures())) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
