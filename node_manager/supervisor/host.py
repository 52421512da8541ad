"""This host: how much it can bear and how busy it is. Reads /proc and, where there is one, the GPU driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

GPU_QUERY_S = 10.0


@dataclass(frozen=True)
class Capacity:
    """What orders may use in total."""

    cores: int
    memory_bytes: int
    gpus: int


@dataclass(frozen=True)
class GpuLoad:
    """One number a GPU, in index order."""

    percent: tuple[float, ...] = ()
    memory_used: tuple[int, ...] = ()


def find_capacity(cores: int | None = None, memory_bytes: int | None = None, gpus: int | None = None) -> Capacity:
    """The host's own capacity where the settings leave a number out."""
    return Capacity(
        cores=cores or len(os.sched_getaffinity(0)),
        memory_bytes=memory_bytes or int(psutil.virtual_memory().total * 0.9),
        gpus=count_gpus() if gpus is None else gpus,
    )


def count_gpus(driver: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """How many NVIDIA GPUs a process here can use: by `nvidia-smi` where it is, else as the driver shows."""
    if shutil.which("nvidia-smi"):
        return len(query_gpus().percent)
    return len(list(driver.iterdir())) if driver.is_dir() else 0


def query_gpus() -> GpuLoad:
    """Live load of each GPU by `nvidia-smi`; empty where the tool is absent or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return GpuLoad()
    command = [tool, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return GpuLoad()
    return parse_gpus(done.stdout)


def parse_gpus(text: str) -> GpuLoad:
    """Lines of `percent, MiB`; a number that the tool cannot tell (`[N/A]`) counts as 0."""
    rows = [line.split(",") for line in text.splitlines() if line.count(",") == 1]
    return GpuLoad(
        percent=tuple(_number(percent) for percent, _ in rows),
        memory_used=tuple(int(_number(used)) << 20 for _, used in rows),
    )


class Load:
    """The live load, asked for every heartbeat; GPUs are asked seldom because the tool is slow."""

    def __init__(self, gpus: int) -> None:
        self._gpus = gpus
        self._gpu_load = GpuLoad()
        self._gpu_asked = -GPU_QUERY_S
        psutil.cpu_percent()

    def read(self) -> tuple[float, int, GpuLoad]:
        """CPU percent of the whole host since the last call, memory in use, GPU load."""
        if self._gpus and time.monotonic() - self._gpu_asked >= GPU_QUERY_S:
            self._gpu_asked = time.monotonic()
            self._gpu_load = query_gpus()
        memory = psutil.virtual_memory()
        return psutil.cpu_percent(), memory.total - memory.available, self._gpu_load


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
