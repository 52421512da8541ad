"""The filter of system calls, worked out by hand for both kinds of processor."""

from __future__ import annotations

import errno
import socket

import pytest

from node_manager.executor.syscalls import MACHINES, program

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
NUMBERS = {
    "x86_64": {"socket": 41, "clone": 56, "prctl": 157, "unshare": 272, "read": 0, "execve": 59, "memory": 319},
    "aarch64": {"socket": 198, "clone": 220, "prctl": 167, "unshare": 97, "read": 63, "execve": 221, "memory": 279},
}  # fmt: skip


def answer(kind, number, first=0, *, network=False, audit=None):
    """What the kernel would say: its classic machine, as far as the program uses it."""
    data = {0: number, 4: MACHINES[kind].audit if audit is None else audit, 16: first & 0xFFFF_FFFF}
    steps, at, held = program(MACHINES[kind], network=network), 0, 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x06:
            return k
        if code == 0x20:
            held = data[k]
            continue
        true = {0x15: held == k, 0x35: held >= k, 0x45: bool(held & k)}[code]
        at += if_true if true else if_false


def refused(error):
    return 0x50000 | error


@pytest.fixture(params=NUMBERS)
def kind(request):
    return request.param


def test_only_unix_sockets_are_made_unless_the_store_is_remote(kind):
    number = NUMBERS[kind]["socket"]
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, 40, socket.AF_PACKET):
        assert answer(kind, number, family) == refused(errno.EAFNOSUPPORT)
    assert answer(kind, number, socket.AF_UNIX) == ALLOWED
    assert answer(kind, number, socket.AF_INET, network=True) == ALLOWED
    assert answer(kind, number, 40, network=True) == refused(errno.EAFNOSUPPORT)
    assert answer(kind, number, (1 << 32) | socket.AF_INET) == refused(errno.EAFNOSUPPORT)  # the kernel reads an int


def test_processes_cannot_leave_the_tree_of_their_executor(kind):
    numbers = NUMBERS[kind]
    assert answer(kind, numbers["clone"], 0x8000 | 17) == refused(errno.EPERM)
    assert answer(kind, numbers["clone"], 0x10000000 | 17) == refused(errno.EPERM)
    assert answer(kind, numbers["unshare"], 0x10000000) == refused(errno.EPERM)
    assert answer(kind, numbers["prctl"], 36) == refused(errno.EPERM)
    assert answer(kind, 435) == refused(errno.ENOSYS)


def test_limits_and_priorities_are_set_of_no_process_but_the_caller(kind):
    numbers = {"x86_64": (302, 142, 144, 203, 314), "aarch64": (261, 118, 119, 122, 274)}[kind]
    for number in numbers:
        assert answer(kind, number, 0) == ALLOWED
        assert answer(kind, number, 4711) == refused(errno.EPERM)
    for number in {"x86_64": (141, 251), "aarch64": (140, 30)}[kind]:
        assert answer(kind, number, 0) == refused(errno.EPERM)


def test_ordinary_calls_pass_and_those_of_a_foreign_table_do_not(kind):
    numbers = NUMBERS[kind]
    for number, first in ((numbers["read"], 0), (numbers["execve"], 0), (numbers["clone"], 17), (numbers["prctl"], 38)):
        assert answer(kind, number, first) == ALLOWED
    assert answer(kind, numbers["memory"]) == refused(errno.ENOSYS)
    assert answer(kind, numbers["read"], audit=0x40000003) == KILLED
    assert answer("x86_64", 0x40000000 + 41, socket.AF_UNIX) == refused(errno.ENOSYS)
