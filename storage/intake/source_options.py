"""How a file is to be read into a table: what its user says of columns, types, encoding and missing values."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from runtime.suggestions import did_you_mean
from storage.columns.types import check_column
from storage.errors import BadSource
from storage.facts import NO_ROLES, TableRoles
from storage.intake.csv_words import DECIMAL_SIGNS

NAMED_TYPES = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
_SPOKEN_DELIMITERS = {"\\t": "\t", "tab": "\t"}
_NO_ENCODINGS_OF_FILES = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"}


@dataclass(frozen=True)
class SourceOptions:
    """What the user says of a file; everything left out is found out.

    Attributes:
        delimiter: The character between the fields of a CSV.
        encoding: Of a CSV's text, by any of Python's names: `gbk`, `latin-1`, `utf-16`, …
        decimal: The decimal sign of a CSV's numbers, a point or a comma.
        no_header: Whether a CSV's first line is a row already.
        columns: Then the columns' names; by default `column1`, `column2`, …
        null_values: Texts of a CSV that mean a missing value, beside an empty field; by default the usual ones, and
            in columns of text none.
        column_types: `bool | int | float | text | date | timestamp` of columns whose type should not be guessed.
        features: The only columns to keep, in this order, beside those that play a role; by default all.
        drop: Columns to leave out.
        roles: The columns that play a role; one of ids may hold any text although most of it is numbers.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    no_header: bool = False
    columns: tuple[str, ...] = ()
    null_values: tuple[str, ...] = ()
    column_types: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    roles: TableRoles = NO_ROLES

    def __post_init__(self) -> None:
        sign = _SPOKEN_DELIMITERS.get(self.delimiter or "", self.delimiter)
        if sign is not None and (len(sign) != 1 or sign in '"\r\n' or not sign.isascii()):
            raise BadSource(f"{self.delimiter!r} cannot be the delimiter.", hint="Give one character, or 'tab'.")
        object.__setattr__(self, "delimiter", sign)
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.decimal not in (None, *DECIMAL_SIGNS):
            raise BadSource(f"{self.decimal[:20]!r} cannot be the decimal sign.", hint="Give a point or a comma.")
        if self.columns and not self.no_header:
            raise BadSource(
                "Columns are named by the first line of the file.",
                hint="If its first line is a row already, say so: --no-header.",
            )
        for text in self.column_types.values():
            if text not in NAMED_TYPES:
                raise BadSource(f"'{text[:60]}' is not a type of columns.", hint=did_you_mean(text, NAMED_TYPES))

    @property
    def for_csv_only(self) -> list[str]:
        """What was said that only a CSV has."""
        said = {
            "a delimiter": self.delimiter,
            "an encoding": self.encoding,
            "a decimal sign": self.decimal,
            "that there are no names": self.no_header,
            "null texts": self.null_values,
        }
        return [what for what, value in said.items() if value]

    def types(self, names: Sequence[str]) -> dict[str, pa.DataType]:
        """The given types. Raises ColumnNotFound for one that no column has."""
        known = dict.fromkeys(names)  # thousands of columns are looked for among thousands
        for name in self.column_types:
            check_column(name, known, "whose type is given")
        return {name: NAMED_TYPES[text] for name, text in self.column_types.items()}

    def kept(self, names: Sequence[str]) -> list[str]:
        """The columns that the table is to have: features in the order given for them, else all in the file's.

        Raises ColumnNotFound, BadSource.
        """
        own, known = {column: role for role, column in self.roles.spoken.items()}, dict.fromkeys(names)
        for name in self.features:
            check_column(name, known, "one of the features")
        for name in self.drop:
            check_column(name, known, "to be dropped")
            if name in own:
                raise BadSource(f"Column '{name}' cannot be dropped: it is the {own[name]}.")
        out = {*own, *self.drop}
        wanted = [name for name in dict.fromkeys(self.features or names) if name not in out]
        in_turn, chosen = iter(wanted), set(wanted)
        return [name if name in own else next(in_turn) for name in names if name in own or name in chosen]


def typed_column(text: str) -> tuple[str, str]:
    """`COLUMN=TYPE` in its two parts. Raises BadSource."""
    column, sign, kind = text.rpartition("=")
    if not sign or kind not in NAMED_TYPES:
        raise BadSource(
            f"'{text[:60]}' does not give a column its type.", hint=f"Write COLUMN=TYPE: {', '.join(NAMED_TYPES)}."
        )
    return column, kind


def _check_encoding(name: str) -> None:
    try:
        found = codecs.lookup(name)
        usable = found._is_text_encoding and found.name.replace("_", "-") not in _NO_ENCODINGS_OF_FILES
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise BadSource(
            f"'{name[:60]}' is not an encoding of text files that is known here.",
            hint="For example utf-8, latin-1, cp1252, gbk, big5, shift_jis, utf-16.",
        )
