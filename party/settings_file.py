"""Values of a settings file changed in place: every other line, and every comment above a key, stays as it is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from party.errors import BadSettings
from party.settings import PolicySettings, checked_policy, load_settings, refuse_oversize, toml_value
from runtime.disk.files import write_whole
from runtime.errors import FileFault


def change_policy(file: Path, values: Mapping[str, object]) -> PolicySettings:
    """Give keys of the `[policy]` section other values; the file is replaced in one step.

    Raises:
        BadSettings: Naming the key that is unknown, or whose value is wrong; or the file cannot be changed in place.
    """
    policy = checked_policy(load_settings(file).policy, values)
    changes = {key: getattr(policy, key) for key in values}
    text = file.read_text(encoding="utf-8")
    changed = _changed(text, "policy", {key: toml_value(value) for key, value in changes.items()})
    try:
        written = tomllib.loads(changed)["policy"]
        whole = all(written[key] == tomllib.loads(f"v = {toml_value(value)}")["v"] for key, value in changes.items())
        others = {**tomllib.loads(text), "policy": written} == tomllib.loads(changed)
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        whole = others = False
    if not (whole and others):
        raise BadSettings(f"The [policy] section of {file} cannot be changed by program.", hint="Edit it by hand.")
    refuse_oversize(file, changed.encode())
    try:
        write_whole(file, changed.encode())
    except FileFault as fault:
        raise FileFault(fault.message, hint=f"{fault.hint} In a container: change it on the host.") from fault
    return load_settings(file).policy


def _changed(text: str, section: str, values: Mapping[str, str]) -> str:
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.match(rf"\s*\[\s*{section}\s*\]", line)), None)
    if start is None:
        lines += ["", f"[{section}]"]
        start = len(lines) - 1
    for key, value in values.items():
        end = _end_of_section(lines, start)
        at = next((i for i in range(start + 1, end) if re.match(rf"\s*{key}\s*=", lines[i])), None)
        if at is None:
            while end > start + 1 and not lines[end - 1].strip():
                end -= 1
            lines.insert(end, f"{key} = {value}")
        else:
            lines[at : _end_of_value(lines, at, end)] = [f"{key} = {value}"]
    return "\n".join(lines) + "\n"


def _end_of_section(lines: list[str], start: int) -> int:
    headers = (i for i in range(start + 1, len(lines)) if re.match(r"\s*\[+[A-Za-z_\"'. ]+\]+\s*(#.*)?$", lines[i]))
    return next(headers, len(lines))


def _end_of_value(lines: list[str], at: int, end: int) -> int:
    """The line after a value, which may go over several."""
    for after in range(at + 1, end + 1):
        try:
            tomllib.loads("\n".join(lines[at:after]))
        except tomllib.TOMLDecodeError:
            continue
        return after
    return at + 1
