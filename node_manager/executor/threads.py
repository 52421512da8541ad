"""How many threads the numeric libraries of one executor use, and that they compute the same each time.

Called in the child, after the fork: its parent is pinned to one thread each and has never started any. Finding the
libraries takes longer than setting them, so the parent does it once.
"""

from __future__ import annotations

import functools
import os
import secrets
import sys
from typing import Any

import pyarrow as pa
import threadpoolctl  # type: ignore[import-untyped]


@functools.cache
def find_libraries() -> Any:
    """The BLAS and OpenMP libraries that are loaded; one that is loaded later reads the environment by itself."""
    return threadpoolctl.ThreadpoolController()


def set_threads(cores: int) -> None:
    """NumPy's BLAS, OpenMP, Arrow and, where it is imported, torch: `cores` threads each."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(cores)
    find_libraries().limit(limits=cores)
    pa.set_cpu_count(cores)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(cores)


def compute_alike(*, gpus: bool) -> None:
    """Deterministic algorithms where torch is imported; random states that no other child of the parent shares."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(secrets.randbits(32))
    torch = sys.modules.get("torch")
    if torch is not None:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.set_deterministic_debug_mode("warn")  # the other spelling imports the compiler: seconds
        torch.backends.cudnn.benchmark = False
        seed = torch.manual_seed if gpus else torch.default_generator.manual_seed  # the first asks each kind of device
        seed(secrets.randbits(63))
