"""One run of ``valence classify``: rows in, records out."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valence_client.cli import rows
from valence_client.cli.ending import FAILED, printed_on_stop, say
from valence_client.cli.progress import Progress, progress
from valence_client.cli.reading.opening import STDIN
from valence_client.cli.reading.row import FileError, Row, Source
from valence_client.cli.reading.source import InputFormat, input_format, open_source
from valence_client.cli.report import Report
from valence_client.cli.writing.delimited import Delimited
from valence_client.cli.writing.output import (
    AnyFormat,
    OutputFormat,
    check_output,
    is_resumable,
    make_format,
    open_output,
    output_format,
)
from valence_client.cli.writing.resume import Kept
from valence_client.errors import ValenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from valence_client._requests import Overlength
    from valence_client.cli.connection import Connection
    from valence_client.cli.reading.table import TableOptions
    from valence_client.results import Outcome


@dataclass(frozen=True, kw_only=True)
class Job:
    """The options of a run."""

    texts: list[str]
    file: str
    input_format: InputFormat | None
    field: str | None
    table: TableOptions
    output: str | None
    output_format: OutputFormat | None
    prefix: str
    resume: bool
    overwrite: bool
    overlength: Overlength

    def run(self, connection: Connection) -> int:
        """Classify, and return the exit code. Raise FileError, ValenceError, OSError."""
        kind = output_format(self.output, self.output_format)
        if self.resume and not is_resumable(self.output, kind):
            raise FileError("--resume continues an uncompressed --output of JSONL, CSV or TSV")
        if self.output is None and sys.stdout is None:
            raise FileError("stdout is closed: give an --output")
        if self.output is not None:
            check_output(self.output, self.file, resume=self.resume, overwrite=self.overwrite)
        with self._source() as source, connection.client() as client:
            form = make_format(kind, source, prefix=self.prefix, to_stdout=self.output is None)
            for note in source.notes:
                say(note)
            # Before the output is opened: if no server answers, it stays as it was.
            max_text_bytes = 0 if self.texts else client.model().limits.max_text_bytes
            with self._sink(form, source) as (file, kept), self._progress(source, kept) as shown:
                answered = (
                    rows.batches(client, source, overlength=self.overlength)
                    if self.texts
                    else rows.stream(
                        client, source, overlength=self.overlength, max_text_bytes=max_text_bytes
                    )
                )
                resumable = is_resumable(self.output, kind)
                with self._continuable() if resumable else nullcontext():
                    troubles = _write(answered, file, form, shown, source)
        return FAILED if troubles or kept.errors else 0

    def _source(self) -> AbstractContextManager[Source]:
        if self.texts:
            given = (Row(n, n, {"text": t}, t) for n, t in enumerate(self.texts, start=1))
            return nullcontext(Source("", len(self.texts), ("text",), given, unit="argument"))
        return open_source(
            self.file,
            input_format(self.file, self.input_format),
            field=self.field,
            table=self.table,
        )

    @contextmanager
    def _sink(self, form: AnyFormat, source: Source) -> Iterator[tuple[BinaryIO, Kept]]:
        if self.output is None:
            sys.stdout.buffer.write(form.header())
            yield sys.stdout.buffer, Kept()
            return
        with open_output(self.output, form, source, resume=self.resume) as (file, kept):
            if self.resume:
                errors = f", {kept.errors} of them errors" if kept.errors else ""
                say(f"{self.output} has {kept.records} records already{errors}")
            yield file, kept

    def _progress(self, source: Source, kept: Kept) -> AbstractContextManager[Progress]:
        """Show a bar, unless records go to the same terminal or the texts are arguments."""
        apart = self.output is not None or not sys.stdout.isatty()
        shown = not self.texts and apart and sys.stderr.isatty()
        return progress(source.total, begin=kept.position, shown=shown)

    @contextmanager
    def _continuable(self) -> Iterator[None]:
        """Print how to resume if the run ends early."""
        given = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
        same = " (with the same stdin)" if self.file == STDIN and not self.texts else ""
        note = f"resume with: valence {shlex.join(given)} --resume{same}"
        try:
            with printed_on_stop(f"valence: {note}\n"):
                yield
        except (ValenceError, OSError) as error:
            error.add_note(note)
            raise


def _write(
    answered: Iterable[tuple[Row, Outcome]],
    file: BinaryIO,
    form: AnyFormat,
    shown: Progress,
    source: Source,
) -> int:
    """Write each row's record at once, and return how many rows had an error."""
    report = Report(source.name, shown.say)
    for row, outcome in answered:
        file.write(form.record(row, outcome))
        # An answer is in the file even if this process dies now.
        file.flush()
        if isinstance(outcome, ValenceError):
            report.add(outcome)
        elif row.note:
            shown.say(f"{source.name}: {source.unit} {row.number} {row.note}")
        if isinstance(form, Delimited) and (left_out := form.left_out(row)):
            fields = ", ".join(left_out)
            report.add(f"line {row.number}: the first row has no {fields}: left out of the table")
        shown.advance(row.position)
    report.end()
    return report.count
