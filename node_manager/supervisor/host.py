"""This host: how much it can bear and how busy it is. Reads /proc and, where there is one, the GPU driver."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from node_manager.order import Resources
from runtime.log import get_logger

GPU_QUERY_S = 10.0
_log = get_logger("node_manager")


def find_capacity(cores: int | None = None, memory_bytes: int | None = None, gpus: int | None = None) -> Resources:
    """The host's own capacity where the settings leave a number out."""
    return Resources(
        cores=cores or len(os.sched_getaffinity(0)),
        memory_bytes=memory_bytes or int(psutil.virtual_memory().total * 0.9),
        gpus=count_gpus() if gpus is None else gpus,
    )


def count_gpus(driver: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """How many NVIDIA GPUs a process here can use: by `nvidia-smi` where it is and works, else as the driver shows."""
    try:
        return len(gpu_percents())
    except FileNotFoundError:
        pass
    except (OSError, subprocess.SubprocessError) as problem:
        _log.warning("nvidia-smi fails, GPUs are counted as the driver shows them", reason=str(problem))
    return len(list(driver.iterdir())) if driver.is_dir() else 0


def gpu_percents() -> tuple[float, ...]:
    """How busy each GPU is, by `nvidia-smi`. Raises OSError or SubprocessError where the tool is absent or fails."""
    command = ["nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits"]
    return parse_gpus(subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout)


def parse_gpus(text: str) -> tuple[float, ...]:
    """Lines of `index, percent`; a percentage that the tool cannot tell (`[N/A]`) counts as 0."""
    return tuple(_number(line.partition(",")[2]) for line in text.splitlines() if line.count(",") == 1)


class Load:
    """The live load, asked for every heartbeat; GPUs are asked seldom because the tool is slow."""

    def __init__(self, gpus: int) -> None:
        self._gpus = gpus
        self._gpu_percent: tuple[float, ...] = ()
        self._gpu_asked = -GPU_QUERY_S
        psutil.cpu_percent()

    def read(self) -> tuple[float, int, tuple[float, ...]]:
        """CPU percent of the whole host since the last call, memory in use, percent of each GPU if that is known."""
        if self._gpus and time.monotonic() - self._gpu_asked >= GPU_QUERY_S:
            self._gpu_asked = time.monotonic()
            self._gpu_percent = ()
            with suppress(OSError, subprocess.SubprocessError):
                self._gpu_percent = gpu_percents()
        memory = psutil.virtual_memory()
        return psutil.cpu_percent(), memory.total - memory.available, self._gpu_percent


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
