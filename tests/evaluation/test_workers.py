"""The calling thread and its helpers: everything once, few things at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from tadsr.evaluation.workers import PIXELS_PER_WORKER, computing, work_through


class Watched:
    """Work that notes how many items were under way, and in which threads."""

    def __init__(self) -> None:
        self.made = 0
        self.most = 0
        self.done = 0
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def items(self, count: int) -> Iterator[int]:
        for number in range(count):
            with self._lock:
                self.made += 1
                self.most = max(self.most, self.made - self.done)
            yield number

    def work(self, item: int) -> tuple[int, int]:
        threads = torch.get_num_threads()
        torch.rand(64, 64) @ torch.rand(64, 64)
        with self._lock:
            self.done += 1
            self.threads.add(threading.get_ident())
        return item, threads


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_all_items_once_and_few_at_a_time(workers: int, count: int) -> None:
    watched = Watched()
    with computing(1):
        found = list(work_through(watched.items(count), watched.work, workers))
    assert sorted(item for item, _ in found) == list(range(count))
    assert {threads for _, threads in found} <= {1}
    assert watched.most <= 2 * workers
    assert len(watched.threads) <= workers


def test_an_item_that_is_large_is_alone() -> None:
    watched = Watched()
    sizes = [1, 1, 3 * PIXELS_PER_WORKER, 1, PIXELS_PER_WORKER, 2 * PIXELS_PER_WORKER, 1]
    under_way: list[int] = []
    most: list[list[int]] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            under_way.append(item)
            most.append([sizes[i] for i in under_way])
        watched.work(item)
        with lock:
            under_way.remove(item)
        return item

    list(work_through(range(len(sizes)), work, 2, pixels=lambda item: sizes[item]))
    for together in most:
        assert len(together) == 1 or sum(together) <= 2 * PIXELS_PER_WORKER


@pytest.mark.parametrize("workers", [1, 3])
def test_an_exception_ends_it(workers: int) -> None:
    watched = Watched()

    def work(item: int) -> int:
        if item == 4:
            raise KeyError("four")
        watched.work(item)
        return item

    with pytest.raises(KeyError, match="four"):
        list(work_through(watched.items(1000), work, workers))
    assert watched.made < 1000


def test_settings_of_the_process_are_held_and_given_back() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with computing(before[0] + 1):
            assert torch.get_num_threads() == before[0] + 1
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before[1])
    assert torch.get_num_threads() == before[0]
