"""What can go wrong with data at rest and with values on the wire.

InvalidInput
  UnsupportedValue       a value that is not in the closed list, on its way out
  ValueDamaged           bytes that are not one whole encoded value
  ValueVersionUnknown    a value written by a version we do not know
  ValueKindUnknown       a kind or dtype that is not in the closed list
  BadSource              a file that cannot become a table, as a whole
    BadRow               one line of a file is wrong: line, column, text
    EmptySource          no rows at all
    DuplicateColumn      two columns of one name
    BadColumnName        a column's name cannot be shown, or has no end
    TooManyColumns       more columns than a table has
    InfiniteNumber       a number that is not finite
    BadWeight            a row whose weight is missing, not finite or negative
    DuplicateIds         two rows of one id
    ColumnNotFound       a column that was named, for its role or as a feature, is not there
  ColumnTypeRefused      a column whose type a table cannot hold, or an operation cannot use
  TableSchemaMismatch    rows that do not have the schema of the table they go to
  SchemaVersionUnknown   a manifest, model or checkpoint of another version
  Damaged                stored bytes that are not what was written
  WrongKey               a file that was sealed under another key
  OutputRefused          what an executor left as an output is not one
    UndeclaredOutput     the component does not declare it
  BadReference           a table, model or store address that cannot be read
NotFound
  TableNotFound          no table, or version of it, of that name
  ModelNotFound          no model of that name
  ReportNotFound         no report of that name
  SourceNotFound         the file to upload is not there
Conflict
  AlreadyPublished       another result has this name already
Unavailable
  StoreUnavailable       the store cannot be reached, or refuses
    StoreFull            its disk has no room left
"""

from __future__ import annotations

from runtime.errors import Conflict, DiskFull, InvalidInput, NotFound, Unavailable


class UnsupportedValue(InvalidInput):
    """A value that is not in the closed list of kinds."""

    code = "storage.unsupported_value"


class ValueDamaged(InvalidInput):
    """Bytes that are not exactly one encoded value: cut, too long, or inconsistent."""

    code = "storage.value_damaged"


class ValueVersionUnknown(InvalidInput):
    """A value in a version of the encoding that this program does not know."""

    code = "storage.value_version_unknown"


class ValueKindUnknown(InvalidInput):
    """A kind of value, or an array's dtype, that is not in the closed list."""

    code = "storage.value_kind_unknown"


class BadSource(InvalidInput):
    """A file that cannot become a table."""

    code = "storage.bad_source"


class BadRow(BadSource):
    """One line of a file is wrong.

    Attributes:
        file: The file's name.
        line: Number of the line on which the row begins, the header being line 1.
        column: The column's name, or None where the row as a whole is wrong.
        text: The offending text, shortened.
    """

    code = "storage.bad_row"

    def __init__(self, file: str, line: int, column: str | None, text: str, problem: str, *, hint: str = "") -> None:
        shown = text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"
        where = f"{file}, line {line}" + (f", column '{column}'" if column is not None else "")
        super().__init__(f"{where}: {problem}: {shown!r}. Nothing was stored.", hint=hint)
        self.file = file
        self.line = line
        self.column = column
        self.text = shown


class EmptySource(BadSource):
    """A file without rows."""

    code = "storage.empty_source"


class DuplicateColumn(BadSource):
    """Two columns of one name."""

    code = "storage.duplicate_column"


class BadColumnName(BadSource):
    """A column's name has control characters, or is too long."""

    code = "storage.bad_column_name"


class TooManyColumns(BadSource):
    """More columns than a table has."""

    code = "storage.too_many_columns"


class InfiniteNumber(BadSource):
    """A number in the file is infinite, which nothing can be learned from."""

    code = "storage.infinite_number"


class BadWeight(BadSource):
    """A row has no weight, or one that is not a finite number of at least 0."""

    code = "storage.bad_weight"


class DuplicateIds(BadSource):
    """Two rows of one id."""

    code = "storage.duplicate_ids"


class ColumnNotFound(BadSource):
    """A column that was named is not in the table."""

    code = "storage.column_not_found"


class ColumnTypeRefused(InvalidInput):
    """A column's type cannot be stored, or not used in this way."""

    code = "storage.column_type_refused"


class TableSchemaMismatch(InvalidInput):
    """Rows that do not have the schema of the table they are written to."""

    code = "storage.table_schema_mismatch"


class SchemaVersionUnknown(InvalidInput):
    """A stored thing in a version that this program does not know."""

    code = "storage.schema_version_unknown"


class Damaged(InvalidInput):
    """Stored bytes are not what was written."""

    code = "storage.damaged"


class OutputRefused(InvalidInput):
    """What an executor left as an output is not one that can be published."""

    code = "storage.output_refused"


class UndeclaredOutput(OutputRefused):
    """An executor left an output that its component does not declare for that role."""

    code = "storage.undeclared_output"


class WrongKey(InvalidInput):
    """A sealed file that was sealed under another key."""

    code = "storage.wrong_key"


class BadReference(InvalidInput):
    """The name of a table or output, or the address of a store, cannot be read."""

    code = "storage.bad_reference"


class TableNotFound(NotFound):
    """No such table, or no such version of it."""

    code = "storage.table_not_found"


class ModelNotFound(NotFound):
    """No such model."""

    code = "storage.model_not_found"


class ReportNotFound(NotFound):
    """No such report."""

    code = "storage.report_not_found"


class SourceNotFound(NotFound):
    """The file to upload is not there."""

    code = "storage.source_not_found"


class AlreadyPublished(Conflict):
    """Another attempt's result has this name already."""

    code = "storage.already_published"


class StoreUnavailable(Unavailable):
    """The store cannot be reached, or refuses to be read or written."""

    code = "storage.unavailable"


class StoreFull(StoreUnavailable, DiskFull):
    """The store's disk has no room left.

    Attributes:
        disk: Where the disk is mounted.
        what: What was to be written.
        needed: Bytes of it, or None if that is not known.
        left: Bytes that might still be written, or None if the system does not say.
    """

    code = "storage.full"

    def __init__(self, disk: str, what: str, needed: int | None, left: int | None) -> None:
        known = [f"{amount(n)} {word}" for n, word in ((needed, "needed"), (left, "left")) if n is not None]
        amounts = f": {', '.join(known)}" if known else ""
        super().__init__(
            f"No room left on {disk} for {what}{amounts}.", hint="Make room there, for example by deleting tables."
        )
        self.disk = disk
        self.what = what
        self.needed = needed
        self.left = left


MAX_SHOWN_CHARS = 60


def amount(size_bytes: int) -> str:
    """A number of bytes as people say it."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= step:
            shown = size_bytes / step
            return f"{shown:.0f} {unit}" if shown >= 10 else f"{shown:.1f} {unit}"
    return f"{size_bytes} bytes"
