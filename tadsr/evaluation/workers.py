"""Work on many items in a few threads of one process, with few items in memory at a time.

Threads and not processes: torch releases Python's lock while it computes, and networks and
metrics are loaded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

from tadsr.metrics.arithmetic import exact_arithmetic

Item = TypeVar("Item")
Result = TypeVar("Result")

PIXELS_PER_WORKER = 4 * 2**20
"""Pixels of the images under way, per worker: a larger image is worked on alone."""


@contextmanager
def computing(threads: int | None) -> Iterator[None]:
    """Hold what every worker relies on: torch's number of threads, and exact arithmetic.

    Both are settings of the whole process: held here, around all workers, they do not change
    under one of them when another enters or leaves.
    """
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with exact_arithmetic(torch.device("cpu")):
            yield
    finally:
        torch.set_num_threads(before)


def work_through(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    workers: int,
    *,
    threads: int = 1,
    pixels: Callable[[Item], int] = lambda item: 0,
) -> Iterator[Result]:
    """Yield `work(item)` of all items, as they are finished.

    The calling thread is one of the `workers`: it makes the items one after another (which may be
    work itself, as inference is) and, when enough of them wait for the others, does the next one
    itself. At most `2 * workers` items are under way, and no more than `PIXELS_PER_WORKER` for
    each worker (by `pixels`), so memory depends neither on their number nor on their size. Each
    worker computes with `threads` threads of torch. With one worker there is no other thread.

    An exception of `work` is raised here; the items under way are worked on to their end first.
    """
    if workers == 1:
        yield from map(work, items)
        return
    budget = PIXELS_PER_WORKER * workers
    # torch keeps the number of its threads for each thread: without this, the pool's would
    # compute with as many as there are cores.
    pool = ThreadPoolExecutor(workers - 1, "worker", torch.set_num_threads, (threads,))
    running: dict[Future[Result], tuple[Item, int]] = {}
    try:
        for item in items:
            size = pixels(item)
            while running and size + sum(s for _, s in running.values()) > budget:
                yield from _finished(running)
            if len(running) < 2 * (workers - 1):
                running[pool.submit(work, item)] = item, size
            else:
                yield work(item)
            yield from _finished(running, timeout=0)
        while running:
            waiting = next((future for future in reversed(running) if future.cancel()), None)
            if waiting:  # nobody has begun it
                yield work(running.pop(waiting)[0])
            else:
                yield from _finished(running)
    finally:
        pool.shutdown()


def _finished(
    running: dict[Future[Result], tuple[Item, int]], timeout: float | None = None
) -> Iterator[Result]:
    """Take the results that are there out of `running`; wait for the first, or for `timeout`."""
    for future in wait(running, timeout, FIRST_COMPLETED).done:
        del running[future]
        yield future.result()
