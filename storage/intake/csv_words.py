"""What the texts of a CSV mean: numbers, yes and no, missing values; and what to do about one that means nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

USUAL_NULLS = frozenset(arrow_csv.ConvertOptions().null_values)
DECIMAL_SIGNS = (".", ",")
WHOLE_NUMBER = r"^\s*[+-]?\d+\s*$"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_COMMA_COLUMN = r"^\s*[+-]?\d*(,\d+)?([eE][+-]?\d+)?\s*$"
_LOOKS_MISSING = frozenset(
    [
        "?",
        "-",
        ".",
        "*",
        "#",
        "--",
        "---",
        "..",
        "na",
        "n/a",
        "#n/a",
        "n.a.",
        "nan",
        "#nan",
        "-nan",
        "<na>",
        "null",
        "nil",
        "none",
        "missing",
        "unknown",
        "undefined",
        "nd",
        "n.d.",
        "k.a.",
    ]
)
_NOUNS = {"int64": "a whole number", "double": "a number", "bool": "true or false", "date32[day]": "a date"}
_SHOWN_CHARS = 20
_BLANKS = "'_ \u2019\u00a0\u202f"  # and the other decimal sign: what stands between thousands
_THOUSANDS = {
    sign: re.compile(
        rf"\s*([+-]?\d{{1,3}}([{other}{_BLANKS}])\d{{3}}(?:\2\d{{3}})*)({re.escape(sign)}\d*)?\s*", re.ASCII
    )
    for sign, other in ((".", ","), (",", "."))
}
_COMMA_THOUSANDS = r"^\s*[+-]?\d{1,3}(,\d{3})*\s*$"


def _spellings(*words: str) -> list[str]:
    return [spelt for word in words for spelt in dict.fromkeys((word, word.capitalize(), word.upper()))]


TRUE_WORDS, FALSE_WORDS = _spellings("1", "true", "yes", "y"), _spellings("0", "false", "no", "n")


def number_pattern(decimal: str) -> str:
    """A regular expression of numbers whose decimal sign is `decimal`."""
    sign = re.escape(decimal)
    return rf"^\s*[+-]?(\d+{sign}?\d*|{sign}\d+)([eE][+-]?\d+)?\s*$"


def values_of(column: pa.Array, nulls: Sequence[str]) -> pa.Array:
    """The texts, trimmed, with the spellings of a missing value as null."""
    is_missing = pc.is_in(column, pa.array(nulls, pa.string()))
    trimmed = pc.utf8_trim_whitespace(column)
    empty = pc.equal(trimmed, "")
    return pc.if_else(pc.or_(is_missing, empty), pa.scalar(None, pa.string()), trimmed)


def fits(values: pa.Array, kind: pa.DataType, decimal: str) -> bool:
    """Whether a type holds all texts, as `values_of` gives them."""
    if pa.types.is_null(kind):
        return bool(values.null_count == len(values))
    if pa.types.is_boolean(kind):
        return bool(pc.all(pc.is_in(values.drop_null(), pa.array(TRUE_WORDS + FALSE_WORDS))).as_py() is not False)
    if pa.types.is_floating(kind) and decimal != ".":
        values = pc.replace_substring(pc.replace_substring(values, ".", "no number"), decimal, ".")
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def wider(kind: pa.DataType, text: str, decimal: str) -> pa.DataType | None:
    """The next type up that holds the text too, None if there is none short of text."""
    ladder: tuple[pa.DataType, ...] = ()
    if pa.types.is_null(kind):
        ladder = (pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.string())
    elif pa.types.is_int64(kind):
        ladder = (pa.float64(),)
    elif pa.types.is_date(kind):
        ladder = (pa.timestamp("us"),)
    value = pa.array([text])
    return next((wider for wider in ladder if fits(value, wider, decimal)), None)


def noun(kind: pa.DataType) -> str:
    """What a value of the type is, for people."""
    return _NOUNS.get(str(kind), str(kind))


def has_decimal_commas(texts: pa.Array) -> bool:
    """Whether nearly all of a column's texts are numbers, and some have a decimal comma."""
    filled = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
    numbers = pc.sum(pc.match_substring_regex(filled, _COMMA_COLUMN)).as_py() or 0
    commas = pc.any(pc.match_substring(filled, ",")).as_py()
    return bool(commas) and 10 * int(numbers) >= 9 * len(filled)


def commas_remark(column: str, texts: pa.Array) -> str:
    """What to tell of a column of numbers with commas, as `has_decimal_commas` finds it."""
    filled = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
    if pc.all(pc.match_substring_regex(filled, _COMMA_THOUSANDS)).as_py():
        return (
            f"Column '{column}' looks like numbers with a comma and was stored as text. If it stands between "
            "thousands, write the numbers without it where the file is made; if it is the decimal sign, upload the "
            "file again with --decimal ','."
        )
    return (
        f"Column '{column}' looks like numbers with a decimal comma and was stored as text; "
        "if they are numbers, upload the file again with --decimal ','."
    )


def without_thousands(text: str, decimal: str) -> str | None:
    """A number with signs between its thousands as it is written without them; None for any other text."""
    for sign in sorted(DECIMAL_SIGNS, key=lambda sign: sign != decimal):
        if found := _THOUSANDS[sign].fullmatch(text):
            whole, between, fraction = found.groups()
            return whole.replace(between, "") + (fraction or "").replace(sign, decimal)
    return None


def null_options(text: str, nulls: Sequence[str]) -> str:
    """The options that say that a text stands for a missing value, as those that were named before do; or nothing."""
    if text.strip().lower() not in _LOOKS_MISSING:
        return ""
    return " ".join(f"--null {shlex.quote(each[:_SHOWN_CHARS])}" for each in dict.fromkeys((*nulls, text)))


def misfit_hint(column: str, kind: pa.DataType, text: str, nulls: Sequence[str], decimal: str) -> str:
    """What to do about a text that is no value of its column's type, `nulls` being what the user named before."""
    as_text = f"If the column is meant as text, give its type: --type {shlex.quote(f'{column}=text')}."
    if pa.types.is_floating(kind) and (ways := _ways_of_numbers(text, decimal)):
        return " ".join([*ways, as_text])
    if named := null_options(text, nulls):
        return f"Leave missing values empty, or give {named}, which says what stands for one. {as_text}"
    if pa.types.is_boolean(kind):
        return (
            "True or false is written true, yes, y or 1, and false, no, n or 0; write 1 and 0 instead of other words "
            f"where the file is made. {as_text}"
        )
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return f"A date is written 2024-03-01, a time 2024-03-01 12:30:00. {as_text}"
    return f"Correct the value where the file is made, or empty it. {as_text}"


def _ways_of_numbers(text: str, decimal: str) -> list[str]:
    """What to do about a text that is a number in another way of writing."""
    ways = []
    if _DECIMAL_COMMA.fullmatch(text):
        ways.append("If the comma is the decimal sign, say so: --decimal ','.")
    if plain := without_thousands(text, decimal):
        ways.append(f"If signs stand between thousands, write the numbers without, as {plain}, where the file is made.")
    return ways
