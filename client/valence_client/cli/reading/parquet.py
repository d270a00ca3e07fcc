"""Read Parquet, if pyarrow is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_client.cli.reading.row import FileError, Row, choose_column

if TYPE_CHECKING:
    from collections.abc import Iterator

# Rows in memory at a time, on top of pyarrow's part of a row group.
BATCH_ROWS = 1024


class Parquet:
    """A Parquet file."""

    def __init__(self, path: str, *, column: str | None) -> None:
        """Open the file and find the column with the texts. Raise FileError."""
        try:
            import pyarrow as pa
            from pyarrow.parquet import ParquetFile
        except ModuleNotFoundError:
            raise FileError(
                'Parquet needs pyarrow: pip install "valence-client[parquet]"'
            ) from None
        self._path = path
        self._broken = (pa.ArrowException, OSError, ValueError)
        try:
            self._file = ParquetFile(path)
        except self._broken as error:
            raise FileError(f"{path} cannot be read as Parquet: {error}") from None
        self.total: int = self._file.metadata.num_rows
        self.columns = tuple(self._file.schema_arrow.names)
        self._column = choose_column(self.columns, column, name=path)

    def rows(self) -> Iterator[Row]:
        """Yield each row, with one batch of rows in memory at a time. Raise FileError."""
        number = 0
        batches = self._file.iter_batches(BATCH_ROWS, use_threads=False)
        try:
            for batch in batches:
                for columns in batch.to_pylist():
                    number += 1
                    text = columns[self._column]
                    problem = "" if isinstance(text, str) else self._problem(text)
                    yield Row(number, number, columns, "" if problem else text, problem)
        except self._broken as error:
            raise FileError(f"{self._path}: cannot be read after row {number}: {error}") from None

    def _problem(self, value: object) -> str:
        what = "nothing" if value is None else type(value).__name__
        return f"has no text in {self._column!r} but {what}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()
