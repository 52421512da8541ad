"""Which system calls an executor may not make: a filter in the kernel that no process beneath it can take off.

Landlock keeps files, and TCP that is bound or connected. There are other ways to a network (MPTCP, TCP's fast open,
listening without binding, UDP, virtual sockets, rings of I/O), to memory that no process is charged for, to other
processes of one user (System V and POSIX queues, keyrings, limits and priorities), and out of the tree of processes by
which an executor is found. Those are refused here, by seccomp(2), for x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from errno import EAFNOSUPPORT, ENOSYS, EPERM
from socket import AF_INET, AF_INET6, AF_NETLINK, AF_UNIX

Instruction = tuple[int, int, int, int]  # code, steps to jump if true, if false, constant

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # where in struct seccomp_data
_ALLOW, _KILL, _ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_X32 = 0x4000_0000  # x86_64's second table of calls, with numbers of its own
_FILTER_MODE, _KEEP_SPECULATION = 1, 1 << 2
_BECOME_SUBREAPER = 36
_CLONE_PARENT, _NEW_USERS = 0x8000, 0x1000_0000

_LOCAL = (AF_UNIX,)
_REMOTE = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)  # the last one: the resolver asks which addresses we have

# By name: the number on x86_64, on aarch64, and the answer. Libraries take ENOSYS for an older kernel and do without.
_REFUSED: Mapping[str, tuple[int, int, int]] = {
    "io_uring_setup": (425, 425, ENOSYS),
    "io_uring_enter": (426, 426, ENOSYS),
    "io_uring_register": (427, 427, ENOSYS),
    "clone3": (435, 435, ENOSYS),  # its flags lie in memory, where no filter reads; all fall back on clone
    "memfd_create": (319, 279, ENOSYS),
    "memfd_secret": (447, 447, ENOSYS),
    "shmget": (29, 194, EPERM),
    "shmat": (30, 196, EPERM),
    "shmctl": (31, 195, EPERM),
    "semget": (64, 190, EPERM),
    "semop": (65, 193, EPERM),
    "semctl": (66, 191, EPERM),
    "semtimedop": (220, 192, EPERM),
    "msgget": (68, 186, EPERM),
    "msgsnd": (69, 189, EPERM),
    "msgrcv": (70, 188, EPERM),
    "msgctl": (71, 187, EPERM),
    "mq_open": (240, 180, EPERM),
    "mq_unlink": (241, 181, EPERM),
    "add_key": (248, 217, EPERM),
    "request_key": (249, 218, EPERM),
    "keyctl": (250, 219, EPERM),
    "open_by_handle_at": (304, 265, EPERM),
    "setpriority": (141, 140, EPERM),  # these two mean groups and whole users as well
    "ioprio_set": (251, 30, EPERM),
}
_OF_ITSELF = {  # by their first argument: 0 is the caller; for another process of its user the kernel asks no more
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}
_JUDGED = {  # by their first argument
    "socket": (41, 198),
    "socketpair": (53, 199),
    "clone": (56, 220),
    "unshare": (272, 97),
    "prctl": (157, 167),
}
_SECCOMP = (317, 277)


@dataclass(frozen=True)
class Machine:
    """A kind of processor: how the kernel's audit names it, its column of the numbers above, whether it has x32."""

    audit: int
    column: int
    x32: bool = False


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(0xC000_003E, 0, x32=True),
    "aarch64": Machine(0xC000_00B7, 1),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def program(machine: Machine, *, network: bool) -> list[Instruction]:
    """The filter for one kind of processor; with `network`, sockets of the internet's families are allowed."""
    at = machine.column
    made = [(_LOAD, 0, 0, _MACHINE), (_IF_EQUAL, 1, 0, machine.audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if machine.x32:
        made += [(_IF_AT_LEAST, 0, 1, _X32), _refusal(ENOSYS)]
    for row in _REFUSED.values():
        made += [(_IF_EQUAL, 0, 1, row[at]), _refusal(row[2])]
    families = [(_IF_EQUAL, int(family), _ALLOW) for family in (_REMOTE if network else _LOCAL)]
    for name in ("socket", "socketpair"):
        made += _judged(_JUDGED[name][at], families, _refusal(EAFNOSUPPORT))
    for name, how, value in (
        ("clone", _IF_ANY_BIT, _CLONE_PARENT | _NEW_USERS),
        ("unshare", _IF_ANY_BIT, _NEW_USERS),
        ("prctl", _IF_EQUAL, _BECOME_SUBREAPER),
    ):
        made += _judged(_JUDGED[name][at], [(how, value, _ERROR | EPERM)], (_RETURN, 0, 0, _ALLOW))
    for numbers in _OF_ITSELF.values():
        made += _judged(numbers[at], [(_IF_EQUAL, 0, _ALLOW)], _refusal(EPERM))
    return [*made, (_RETURN, 0, 0, _ALLOW)]


def refuse(*, network: bool) -> None:
    """Refuse the calls to this process and all that it will start. It must have no new privileges. Raises OSError."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(ENOSYS, f"no filter of system calls is known for {platform.machine()}")
    instructions = b"".join(struct.pack("=HBBI", *step) for step in program(machine, network=network))
    given = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SECCOMP[machine.column], _FILTER_MODE, _KEEP_SPECULATION, ctypes.byref(given)):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _judged(number: int, tests: Sequence[tuple[int, int, int]], otherwise: Instruction) -> list[Instruction]:
    """What is answered to one call by its first argument; the kernel reads no more than the lower half of it either."""
    answers = [step for how, value, answer in tests for step in ((how, 0, 1, value), (_RETURN, 0, 0, answer))]
    block = [(_LOAD, 0, 0, _FIRST_ARGUMENT), *answers, otherwise]
    return [(_IF_EQUAL, 0, len(block), number), *block]


def _refusal(error: int) -> Instruction:
    return _RETURN, 0, 0, _ERROR | error
