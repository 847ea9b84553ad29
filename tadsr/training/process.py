"""What a training sets in its process: threads, deterministic kernels, patience with signals."""

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
from tadsr.signals import SIGNALS

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
    """Within the block, SIGTERM and SIGUSR1 are only noted, so that a step can end and be saved.

    Schedulers send them before they take a machine away.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether one of the signals has come."""
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as a shell has it; of SIGTERM where another process got
        the signal."""
        return 128 + (self.received or signal.SIGTERM)

    def __enter__(self) -> StopRequest:
        # Python allows handlers in the main thread alone; elsewhere signals stay what they are.
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._request) for n in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.received = number
