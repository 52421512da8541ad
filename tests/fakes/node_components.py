"""Components for tests of the Node Manager. Preloaded by a warm parent, it makes executors find them."""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from algorithms.api.component import Component, RoleSpec
from algorithms.api.parameters import Parameters
from algorithms.api.ports import Port, PortKind
from gateway.client import GatewayAdmin
from node_manager.client import NodeClient
from node_manager.descent import WARM_PARENT
from party.ids import Role
from runtime.errors import Conflict, PlatformError
from storage.client import NO_ROLES, Model, TableRoles
from tests.fakes.hostile_plays import bomb, breed, end_a_child, fill, get_on, headless, linger, reach_out, spread

EVERYBODY = frozenset(Role)


class TestFailure(Conflict):
    """A failure that a component names."""

    __test__ = False
    code = "test.failure"


class Play(Parameters):
    """What the role function does."""

    do: str = "nothing"
    where: str = ""
    count: int = 0
    seconds: float = 0.0


def nothing(ctx, p):
    """End at once."""


def fail(ctx, p):
    """An error with a name."""
    raise TestFailure("It did not work.", hint="Try another day.")


def crash(ctx, p):
    """An error without a name, whose text must not travel."""
    raise RuntimeError("row 17 is canary")


def leave(ctx, p):
    """End without a last word."""
    os._exit(3)


def talk(ctx, p):
    """Print, log, print `count` lines at once, then end by a fatal signal."""
    logger = logging.getLogger("talk")
    print("printed")  # noqa: T201
    print("warned", file=sys.stderr)  # noqa: T201
    logger.info("logged")
    logger.warning("\x1b[2J")
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("failed")
    for i in range(p.count):
        print(f"line {i}")  # noqa: T201
    os.kill(os.getpid(), 11)


def sleep(ctx, p):
    """Wait to be ended."""
    time.sleep(p.seconds or 300)


def stubborn(ctx, p):
    """Refuse to be ended politely."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctx.events.log("info", "ready")
    time.sleep(300)


def family(ctx, p):
    """Start a child in our group and one that has left it, tell their pids, wait."""
    code = "import time; time.sleep(300)"
    ours = subprocess.Popen([sys.executable, "-c", code])
    away = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    ctx.events.log("info", f"{ours.pid} {away.pid}")
    time.sleep(p.seconds or 300)


def orphans(ctx, p):
    """Leave a child behind and end well."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    ctx.events.log("info", str(child.pid))


def grow(ctx, p):
    """Use `count` MiB of memory of our own."""
    block = np.ones(p.count << 17)
    ctx.events.log("info", f"{block.nbytes}")
    time.sleep(p.seconds or 300)


def grow_elsewhere(ctx, p):
    """Use `count` MiB of memory in a process that we start."""
    ctx.events.log("info", f"{p.count} MiB")
    script = f"import time; block = b'x' * ({p.count} << 20); time.sleep({p.seconds or 300})"
    subprocess.run([sys.executable, "-S", "-c", script], check=True)


def share(ctx, p):
    """Fork a child that holds the `count` MiB that we have, and no memory of its own."""
    block = np.ones(p.count << 17)
    child = os.fork()
    if not child:
        time.sleep(p.seconds)
        os._exit(0)
    ctx.events.log("info", f"{block.nbytes}")
    os.waitpid(child, 0)


def count(ctx, p):
    """Report `count` numbers, slowly."""
    for i in range(p.count):
        ctx.report(i, loss=float(i))
        time.sleep(p.seconds)


def count_until(ctx, p):
    """Report numbers until the file `where` is there."""
    i = 0
    while not Path(p.where).exists():
        ctx.report(i, loss=float(i))
        i += 1
        time.sleep(p.seconds)


def look_around(ctx, p):
    """Tell what this process is like."""
    import resource
    import threading

    said = {
        "cwd": Path.cwd(),
        "session": os.getsid(0) == os.getpid(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "open": sorted(filter(None, map(_target, Path("/proc/self/fd").iterdir()))),
        "threads": threading.active_count(),
        "arrow": pa.cpu_count(),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "environment": " ".join(f"{k}={v}" for k, v in os.environ.items()),
        "gpus": os.environ["CUDA_VISIBLE_DEVICES"],
        "random": np.random.random(),
    }
    for name, value in said.items():
        ctx.events.log("info", f"{name}: {value}")


def remember(ctx, p):
    """Draw once, keep checkpoints, stage one output of each kind; die after the first half when told to."""
    seed = ctx.memory.once("own-seed", lambda: os.urandom(8))
    pick = ctx.memory.once("pick", lambda: os.urandom(8))
    ctx.events.log("info", f"{seed.hex()} {pick.hex()}")
    found = ctx.memory.latest()
    start, total = (found[0] + 1, float(found[1]["total"])) if found else (0, 0.0)
    ctx.events.log("info", f"from {start}")
    for step in range(start, p.count):
        total += step
        ctx.memory.checkpoint(step, {"total": total})
        if p.where == "die" and start == 0 and step == p.count // 2:
            os.kill(os.getpid(), 9)
    ctx.outputs.save_model("model", Model("test", 1, {"total": np.array([total])}, {}))
    ctx.outputs.save_report("report", "sum", 1, {"total": total})
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64())])
    ctx.outputs.save_table("table", pa.table({"id": [1, 2], "x": [0.5, total]}, schema=schema), TableRoles(id="id"))
    table, model = ctx.inputs.table("data"), ctx.inputs.model("model")
    ctx.events.log("info", f"{None if table is None else table.rows} {None if model is None else model.kind}")
    with ctx.progress(2, "ends") as done:
        done(2)


def work(ctx, p):
    """A convolution, an Arrow scan and a gRPC call: each would hang in the child of a parent that had made one."""
    import grpc
    import torch

    image = torch.ones(1, 1, 16, 16)
    folded = torch.nn.functional.conv2d(image, torch.ones(4, 1, 3, 3)).sum().item()
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    numbers = f"{os.environ['TMPDIR']}/numbers.arrow"
    with pa.OSFile(numbers, "wb") as sink, pa.ipc.new_file(sink, pa.schema([("n", pa.int64())])) as writer:
        writer.write_table(pa.table({"n": list(range(100))}))
    table = ds.dataset(numbers, format="ipc").to_table(filter=pc.field("n") >= 10)
    with grpc.insecure_channel(f"unix:{p.where}/echo") as channel:
        echo = channel.unary_unary("/test.Echo/Say")
        heard = echo(b"hello", timeout=20)
    if folded != 4 * 14 * 14 * 9 or table.num_rows != 90 or heard != b"hello":
        raise TestFailure(f"{folded} {table.num_rows} {heard!r}")


def pry(ctx, p):
    """Try whatever no component has any business with; tell what came of each try. `where` is JSON: name to path."""
    for name, path in json.loads(p.where).items():
        ctx.events.log("info", f"{name}: {_tried(name.partition('-')[0], path)}")


def _tried(how, path):
    tries = {
        "read": lambda: Path(path).read_bytes(),
        "list": lambda: list(Path(path).iterdir()),
        "write": lambda: Path(path).write_text("x"),
        "link": lambda: Path("scratch/link").symlink_to(path),
        "hardlink": lambda: Path("scratch/hard").hardlink_to(path),
        "signal": lambda: os.kill(int(path), 0),
        "limit": lambda: resource.prlimit(int(path), resource.RLIMIT_CORE, (0, 0)),
        "slow": lambda: os.sched_setaffinity(int(path), os.sched_getaffinity(0)),
        "idle": lambda: os.sched_setscheduler(int(path), os.SCHED_OTHER, os.sched_param(0)),
        "nice": lambda: os.setpriority(os.PRIO_PROCESS, int(path), 0),
        "tcp": lambda: socket.create_connection(("127.0.0.1", int(path)), 5),
        "unlink": lambda: Path(path).unlink(),
        "child": lambda: subprocess.run([sys.executable, "-c", f"open({path!r}).read()"], check=True, stderr=-3),
        "admin": lambda: GatewayAdmin(path).sign("test", b"x"),
        "node": lambda: next(NodeClient(path).watch()),
    }
    try:
        tries[how]()
    except (OSError, subprocess.SubprocessError, PlatformError) as refusal:
        return type(refusal).__name__
    return "DONE"


def flood(ctx, p):
    """Write `count` lines and `count` numbers straight into the event log, past all that would thin them out.

    Then wait for the file `where`, if it is named.
    """
    log = next(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if _target(fd).endswith("events.jsonl"))
    key = ctx.events._key
    who = {name: getattr(key, name) for name in ("job", "task", "attempt", "address", "incarnation")}
    bodies = {
        "log": lambda n: {"level": "info", "text": f"flood {n} " + "x" * 1_500},
        "metric": lambda n: {"name": f"{n:06d}" + "m" * 80, "step": 0, "value": 1.0},
    }
    for kind, body in bodies.items():
        for start in range(0, p.count, 500):
            lines = b""
            for n in range(start, min(start + 500, p.count)):
                ctx.events._sequence += 1
                event = {**who, "schema": 1, "sequence": ctx.events._sequence, "at_ms": 1, "kind": kind}
                event["body"] = body(n)
                lines += json.dumps(event).encode() + b"\n"
            os.write(log, lines)
    while p.where and not Path(p.where).exists():
        time.sleep(0.02)


def _target(link):
    try:
        return str(link.readlink())
    except OSError:  # the one through which the folder was read
        return ""


def forge(ctx, p):
    """Make one output of each kind, then write into what was staged, past the door of outputs.

    `where` is a path below the staged outputs, `=`, and the text that the file there becomes; empty for none.
    """
    ctx.outputs.save_model("model", Model("play", 1, {"w": np.zeros(4)}, {}))
    ctx.outputs.save_report("report", "play", 1, {"a": 1})
    ctx.outputs.save_table("table", pa.table({"a": [1, 2, 3]}), NO_ROLES)
    staged = ctx.outputs._staged
    root = staged._place.local(staged._folder)
    path, _, text = p.where.partition("=")
    if path:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def use(ctx, p):
    """Read the table and the model that the order names."""
    rows = ctx.inputs.table("data").column("a").tolist()
    ctx.events.log("info", f"{rows} {ctx.inputs.model('model').arrays['w'].tolist()}")


PLAYS = {
    play.__name__: play
    for play in (
        nothing, fail, crash, leave, sleep, stubborn, family, orphans, grow, grow_elsewhere, share, count, count_until,
        look_around, remember, work, pry, talk, reach_out, get_on, spread, flood, forge, use,
        linger, bomb, fill, breed, end_a_child, headless,
    )
}  # fmt: skip


def run(ctx, p):
    """Do what the parameters say."""
    PLAYS[p.do](ctx, p)


COMPONENT = Component(
    name="play",
    version=1,
    parameters=Play,
    inputs={"data": Port(PortKind.TABLE, EVERYBODY, True), "model": Port(PortKind.MODEL, EVERYBODY, True)},
    outputs={"model": Port(PortKind.MODEL, EVERYBODY)},
    roles={Role.GUEST: RoleSpec(run), Role.ARBITER: RoleSpec(run)},
)


def install() -> None:
    """Let this process's executors find the component."""
    from node_manager.executor import main as executor

    real = executor.find_component
    executor.find_component = lambda name: COMPONENT if name == "play@1" else real(name)


if WARM_PARENT in getattr(sys, "orig_argv", []):
    install()
