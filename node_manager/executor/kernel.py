"""The system calls by which a process gives up rights for good: Landlock, capabilities, no new privileges. Linux only.

Landlock (landlock(7), Linux 5.13) restricts the calling process and all that it will start to paths that are listed.
It needs no privilege and no mount, and works in a freshly forked child. Its ABI number says what it can restrict.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from enum import IntFlag
from pathlib import Path
from stat import S_ISDIR

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every machine
_ASK_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVS, _KEEP_CAPS, _AMBIENT, _AMBIENT_RAISE = 38, 8, 47, 2
_CAPABILITY_VERSION = 0x20080522
DAC_READ_SEARCH = 2  # capabilities(7): pass through folders, and read files, whatever their mode
SETGID, SETUID, CHOWN = 6, 7, 0

_NET_ABI, _SCOPE_ABI = 4, 6
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # how many of the rights below each ABI knows; later ones know all


class Right(IntFlag):
    """What may be done with a path and all that is beneath it, in the kernel's own numbers."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
# Files and folders only, no links, pipes or sockets: services open the names that an executor leaves behind.
CHANGE = (
    READ | Right.WRITE_FILE | Right.TRUNCATE | Right.REMOVE_DIR | Right.REMOVE_FILE | Right.MAKE_DIR | Right.MAKE_REG
)  # fmt: skip
OWN = CHANGE | Right.MAKE_SOCK | Right.MAKE_FIFO  # of a folder that no service opens a name in
APPEND = Right.READ_FILE | Right.WRITE_FILE
DEVICE = Right.READ_FILE | Right.WRITE_FILE | Right.IOCTL_DEV
_OF_FILES = Right.EXECUTE | Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE | Right.IOCTL_DEV

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_abi() -> int:
    """What the kernel's Landlock can restrict; 0 where there is none, or it is off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)))


def restrict(rules: Iterable[tuple[Path, Right]], *, tcp: bool) -> None:
    """Leave this process, and all that it starts, no other file than these; without `tcp`, no TCP connection.

    A path that does not exist is passed over. Signals and abstract sockets reach nobody outside, where the kernel can
    restrict that (ABI 6); nor can any process outside be traced. Raises OSError.
    """
    abi = landlock_abi()
    handled = (1 << _RIGHTS_OF_ABI.get(abi, len(Right))) - 1
    net = _ALL_TCP if abi >= _NET_ABI and not tcp else 0
    scopes = _ALL_SCOPES if abi >= _SCOPE_ABI else 0
    size = 24 if abi >= _SCOPE_ABI else 16 if abi >= _NET_ABI else 8
    wanted = struct.pack("=QQQ", handled, net, scopes)[:size]
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, wanted, size, 0))
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        forbid_new_privileges()
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def forbid_new_privileges() -> None:
    """Nothing that this process executes gains a right by being set-uid. Raises OSError."""
    _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))


def capabilities() -> frozenset[int]:
    """The numbers of the capabilities that this process has."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                mask = int(line.split()[1], 16)
                return frozenset(number for number in range(mask.bit_length()) if mask >> number & 1)
    return frozenset()


def become(uid: int, keep: int | None) -> None:
    """Be this user and its group of the same number, with one capability of root's or none. Raises OSError."""
    _checked(_libc.prctl(_KEEP_CAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    hold(keep)


def hold(keep: int | None) -> None:
    """Give up every capability but one, which what is executed inherits. Raises OSError."""
    mask = 0 if keep is None else 1 << keep
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _checked(_libc.capset(header, struct.pack("=6I", mask, mask, mask, 0, 0, 0)))
    if keep is not None:
        _checked(_libc.prctl(_AMBIENT, _AMBIENT_RAISE, keep, 0, 0))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not S_ISDIR(os.fstat(handle).st_mode):
            rights &= _OF_FILES
        if rights:
            _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, handle), 0))
    finally:
        os.close(handle)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
