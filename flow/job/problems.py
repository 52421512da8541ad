"""Pydantic's complaints turned into problems with a path, a sentence and, for a mistyped name, a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from flow.errors import Problem
from runtime.suggestions import did_you_mean
from runtime.text import MOST_COMPLAINTS

_SHOWN_CHARS = 60
_MOST_TOLD = 100  # complaints about one document
_OBJECT, _LIST, _WHOLE, _NUMBER = (
    "write an object, {{ … }}",
    "write a list, [ … ]",
    "write a whole number",
    "write a number",
)
_SAID = {
    "string_type": "write a text, in quotes",
    "string_too_short": "at least {min_length} characters are needed",
    "string_too_long": "at most {max_length} characters are allowed",
    "string_pattern_mismatch": "this text does not have the form that is needed here",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "this number is too large",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "none_required": "write null, or leave the key out",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "too_short": "at least {min_length} must be given",
    "too_long": "at most {max_length} may be given",
    "greater_than": "it must be greater than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "literal_error": "write {expected}",
    "enum": "write {expected}",
}
_PLAIN = {"str", "int", "float", "bool"}
_BRANCHES = ("dict[", "list[", "tuple[", "function-", "constrained-", "literal[", "nullable[", "lax-or-strict[")


def from_validation(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Problem]:
    """The first complaints about `model` as problems below `prefix`; only how many, where they are too many to list."""
    if error.error_count() > MOST_COMPLAINTS:
        return [Problem(path=prefix, message=f"{error.error_count()} things are wrong with it.")]
    return [_problem(item, model, prefix) for item in error.errors(include_url=False)[:_MOST_TOLD]]


def sentence(item: Any) -> str:
    """One of pydantic's complaints in our words: a clause without its full stop."""
    kind = str(item["type"])
    if kind in ("value_error", "assertion_error"):  # our own validators: the text is ours
        text = str(item["msg"]).partition(", ")[2].rstrip(".")
        return text[:1].lower() + text[1:]
    return _SAID.get(kind, "this value cannot be used here").format(**item.get("ctx", {}))


def dotted(parts: Sequence[object]) -> str:
    """`("tasks", "train", 0)` as `tasks.train[0]`."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _problem(item: Any, model: type[BaseModel], prefix: str) -> Problem:
    place = [part for part in item["loc"] if part != "[key]" and not _is_type_name(part)]
    path = dotted([*([prefix] if prefix else []), *place])
    kind = item["type"]
    if kind == "extra_forbidden":
        return Problem(path=path, message="this key is not known.", hint=_meant(model, place))
    if kind == "missing":
        return Problem(path=path, message="this key is missing.")
    given = item.get("input")
    shown = f" (it is {_short(given)})" if isinstance(given, str | int | float | bool) or given is None else ""
    return Problem(path=path, message=f"{sentence(item)}{shown}.")


def _is_type_name(part: object) -> bool:
    """Whether pydantic put the name of a union's branch into the place."""
    return isinstance(part, str) and (part in _PLAIN or part.startswith(_BRANCHES))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _meant(model: type[BaseModel], place: Sequence[object]) -> str:
    """A hint for a key that is not known: where a group has it, in full, else the nearest of those beside it."""
    name, keys = str(place[-1]), _keys_at(model, place[:-1])
    if grouped := [f"'{group}.{name}'" for group in _keys_at(model, ()) if name in _keys_at(model, (group,))]:
        return f"Did you mean {' or '.join(grouped)}?"
    return did_you_mean(name, keys) if keys else ""


def _keys_at(model: type[BaseModel], place: Sequence[object]) -> list[str]:
    """The keys that the model allows at the place; empty where anything goes."""
    here: Any = model
    for part in place:
        if isinstance(here, type) and issubclass(here, BaseModel):
            found = [f for n, f in here.model_fields.items() if (f.alias or n) == part]
            here = found[0].annotation if found else None
        else:
            arguments = get_args(here)
            here = arguments[-1] if arguments else None
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    return [field.alias or name for name, field in here.model_fields.items()]
