"""What a hostile component tries, and what an honest one must still be able to do; played in executors under test."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from algorithms.compute.workers import Workers
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import generate
from algorithms.crypto.vectors import VectorPaillier

MPTCP, FASTOPEN, VSOCK = 262, 0x20000000, 40


def _fast_open(port):
    with socket.socket() as line:
        line.sendto(b"rows", FASTOPEN, ("127.0.0.1", port))


def _listen(_port):
    with socket.socket() as line:
        line.listen()
        return line.getsockname()


def _connect(port, protocol=0, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind, protocol) as line:
        line.connect(("127.0.0.1", port))
        line.send(b"rows")


def _call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _library(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


WAYS = {
    "tcp": _connect,
    "mptcp": lambda port: _connect(port, MPTCP),
    "fast-open": _fast_open,
    "listen": _listen,
    "udp": lambda port: _connect(port, kind=socket.SOCK_DGRAM),
    "virtual-socket": lambda _: socket.socket(VSOCK, socket.SOCK_STREAM),
    "netlink": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "ring": lambda _: _call(425, 4, ctypes.create_string_buffer(120)),
    "memory-file": lambda _: os.memfd_create("x"),
    "shared-memory": lambda _: _library("shmget", 0x4242, 4096, 0o1666),
    "queue": lambda _: _library("msgget", 0x4242, 0o1666),
    "semaphore": lambda _: _library("semget", 0x4242, 1, 0o1666),
    "subreaper": lambda _: _library("prctl", 36, 0, 0, 0, 0),
}


def reach_out(ctx, p):
    """Try every way to a listener on port `count`, and to memory and queues that nobody is charged for."""
    for name, way in WAYS.items():
        try:
            way(p.count)
            came = "DONE"
        except OSError as refusal:
            came = type(refusal).__name__
        ctx.events.log("info", f"{name}: {came}")


def get_on(ctx, p):
    """What honest components do with processes, threads and sockets."""
    import torch

    torch.set_num_threads(2)
    assert float(torch.ones(300, 300).matmul(torch.ones(300, 300)).sum()) == 300**3
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    layout = FixedPointLayout.exact(16.0, 3, 1024)
    numbers = np.arange(layout.slots * 70)
    compute = Workers(2)
    engine = VectorPaillier(generate(1024, "standard"), 1000, compute)
    np.testing.assert_array_equal(engine.decrypt(layout, engine.encrypt(layout, numbers))[0], numbers)
    compute.close()
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here, there = socket.socketpair()
    here.send(b"x")
    assert there.recv(1) == b"x"
    ctx.events.log("info", "got on")


def spread(ctx, p):
    """Compute on the order's cores, tell what that takes, lose a worker while it idles, and compute again."""
    layout = FixedPointLayout.exact(16.0, 3, 1024)
    zeros = np.zeros(layout.slots * 200, dtype=np.int64)
    began = time.monotonic()
    engine = VectorPaillier(generate(1024, "standard"), 1000, ctx.compute)
    vector = engine.encrypt(layout, zeros)
    assert len(set(vector.data.to_pylist())) == len(vector.data), "workers have randomness of their own"
    family = psutil.Process().children(recursive=True)
    ctx.events.log("info", f"after {time.monotonic() - began:.2f} s")
    ctx.events.log("info", ", ".join(sorted(f"{one.name()} {one.num_threads()}" for one in family)))
    lost = next(one for one in family if one.name() == "worker")
    lost.kill()
    lost.wait(60)
    np.testing.assert_array_equal(engine.decrypt(layout, vector)[0], zeros)


def end_a_child(ctx, p):
    """Fork, let the child lose the exception that a signal may raise, as a finalizer does, and end it by a signal."""
    child = os.fork()
    while not child:
        with suppress(SystemExit):
            signal.pause()
    os.kill(child, signal.SIGTERM)
    ctx.events.log("info", f"ended by {os.WTERMSIG(os.waitpid(child, 0)[1])}")


def linger(ctx, p):
    """Leave a process of a session of its own behind, told by pid, with `count` MiB; end at once, or wait."""
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        block = np.ones(p.count << 17)
        if p.where == "halved" and not os.fork():  # what two share counts for neither as its own
            time.sleep(300)
        os.write(writing, str(os.getpid()).encode())
        os.close(writing)
        time.sleep(300 + block.size * 0)
        os._exit(0)
    os.close(writing)
    pid = os.read(reading, 20).decode()
    ctx.events.log("info", pid)
    time.sleep(p.seconds)


def breed(ctx, p):
    """Leave a process behind that forks, ends, and goes on as its child, for ever."""
    if not os.fork():
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
    ctx.events.log("info", f"{os.getuid()}")


def bomb(ctx, p):
    """Start `count` processes of sessions of their own, as far as we may; wait."""
    for _ in range(p.count):
        with suppress(OSError):
            if not os.fork():
                os.setsid()
                time.sleep(300)
                os._exit(0)
    time.sleep(300)


def fill(ctx, p):
    """Write `count` MiB into our folder, into a file that loses its name first if `where` is "unnamed"; wait."""
    path = Path(os.environ["TMPDIR"]) / "filler"
    with path.open("wb", buffering=0) as file:
        if p.where == "unnamed":
            path.unlink()
        for _ in range(p.count):
            file.write(bytes(1 << 20))
        time.sleep(300)


def headless(ctx, p):
    """End the first thread, and go on in another one."""
    ctx.events.log("info", "ready")
    threading.Thread(target=time.sleep, args=(300,)).start()
    ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
