"""What the soak sent, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

WRONG, LOST = "WRONG", "LOST"


@dataclass
class Ledger:
    """Counts of outcomes, by kind of traffic."""

    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)
    """What was wrong, in words: the first few."""

    def got(self, kind: str, outcome: str) -> None:
        self.counts[kind][outcome] += 1

    def got_wrong(self, kind: str, what: object) -> None:
        self.got(kind, WRONG)
        if len(self.wrong) < 10:
            self.wrong.append(f"{kind}: {what}")

    @property
    def harmless(self) -> bool:
        """Whether nothing was wrong or lost, and every kind of traffic got something."""
        return all(
            counts.total() and not counts[WRONG] and not counts[LOST]
            for counts in self.counts.values()
        )

    def table(self) -> str:
        """A line for each kind, a column for each outcome that was seen, WRONG and LOST last."""
        seen = {outcome for counts in self.counts.values() for outcome in counts}
        outcomes = [*sorted(seen - {WRONG, LOST}), WRONG, LOST]
        rows = [["", "sent", *outcomes]]
        rows += [
            [kind, str(counts.total()), *(str(counts[outcome]) for outcome in outcomes)]
            for kind, counts in sorted(self.counts.items())
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
                ]
            )
            for row in rows
        )
