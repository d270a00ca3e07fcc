"""Read Parquet, if pyarrow is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valence_client.cli.reading.row import FileError, Row, choose_column, distinct

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
        schema = self._file.schema_arrow
        self.header = tuple(schema.names)
        self.columns = distinct(self.header)
        self._index = choose_column(self.header, column, name=path)
        self._column = self.header[self._index]
        held = schema.field(self._index).type
        if not _holds_text(held):
            raise FileError(f"{path}: column {self._column!r} holds {held}, not texts")

    def rows(self) -> Iterator[Row]:
        """Yield each row, with one batch of rows in memory at a time. Raise FileError."""
        number = 0
        batches = self._file.iter_batches(BATCH_ROWS, use_threads=False)
        try:
            for batch in batches:
                held = [_values(column) for column in batch.columns]
                for cells in zip(*held, strict=True):
                    number += 1
                    columns = dict(zip(self.columns, cells, strict=True))
                    text, problem = self._text(cells[self._index])
                    if not problem:
                        columns[self.columns[self._index]] = text
                    yield Row(number, number, columns, text, problem)
        except self._broken as error:
            raise FileError(f"{self._path}: cannot be read after row {number}: {error}") from None

    def _text(self, value: object) -> tuple[str, str]:
        """Return the text and an empty string, or an empty text and the problem."""
        if isinstance(value, str):
            return value, ""
        if value is None:
            return "", f"has no text in {self._column!r} but nothing"
        try:
            return str(value, "utf-8"), ""  # type: ignore[call-overload]  # these are bytes
        except UnicodeDecodeError as error:
            return "", f"has no UTF-8 in {self._column!r}: byte {error.start + 1}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _holds_text(held: Any) -> bool:
    """Return whether a column of this type may hold texts, if as bytes."""
    from pyarrow import BaseExtensionType, types

    if isinstance(held, BaseExtensionType):
        held = held.storage_type
    if types.is_dictionary(held):
        held = held.value_type
    return any(
        is_of(held)
        for is_of in (
            *(types.is_string, types.is_large_string, types.is_string_view),
            *(types.is_binary, types.is_large_binary, types.is_binary_view),
            *(types.is_fixed_size_binary, types.is_null),
        )
    )


def _values(column: Any) -> list[Any]:
    """Return the values of a column. One that Python lacks becomes text."""
    try:
        values: list[Any] = column.to_pylist()
    except Exception:  # pyarrow raises ValueError, OverflowError, its own, and others
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: Any) -> Any:
    """Return a value, or text for a nanosecond, a year past 9999 or an unknown time zone."""
    import pyarrow as pa

    try:
        return scalar.as_py()
    except Exception:
        if isinstance(scalar, pa.StructScalar | pa.ListScalar):
            return _nested(scalar)
        if isinstance(scalar, pa.BinaryScalar):  # a string that is not UTF-8
            return scalar.as_buffer().to_pybytes()
        if isinstance(scalar, pa.DurationScalar):
            return f"{scalar.value} {scalar.type.unit}"
    try:
        return scalar.cast(pa.string()).as_py()
    except pa.ArrowException:
        return str(scalar.value)


def _nested(scalar: Any) -> Any:
    import pyarrow as pa

    if isinstance(scalar, pa.StructScalar):
        return {name: _value(item) for name, item in scalar.items()}
    items = [_value(item) for item in scalar.values]
    return [tuple(item.values()) for item in items] if isinstance(scalar, pa.MapScalar) else items
