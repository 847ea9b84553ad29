"""What a training sets in its process: threads, deterministic kernels, a deaf ear to SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch

from tadsr import seeds

T = TypeVar("T")


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Within the block: this many CPU threads, deterministic kernels where torch has them.

    Another number of threads gives other bits. A kernel without a deterministic version (some on
    GPUs) warns instead of failing.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    # cuBLAS reads this at its first use; without it, its results vary.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory is a debugging aid that costs time; nothing here reads unwritten memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def seeded(build: Callable[[], T], seed: int, *axis: str | int) -> T:
    """Call `build` with torch's global generator at (seed, axis), and put that generator back.

    For modules, whose initial weights torch draws from the global generator.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seeds.derive(seed, *axis))
        return build()


class StopRequest:
    """Within the block, SIGTERM only sets `requested`, so that a step can end and be saved."""

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> StopRequest:
        # Python allows handlers in the main thread alone; elsewhere SIGTERM stays what it is.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
