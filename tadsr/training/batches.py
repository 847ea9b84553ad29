"""Each batch as the parts that this process works on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

from tadsr.config.student import TrainingSpec
from tadsr.errors import ConfigError
from tadsr.training.objective import BatchT, Objective


@dataclass(frozen=True)
class Part(Generic[BatchT]):
    """A piece of a batch, and its share of the batch's images."""

    batch: BatchT
    share: float


class Batches(Generic[BatchT]):
    """The batches of a training: process `index` of `count` gets its slice, in equal pieces.

    Raises:
        ConfigError: a batch that is too small to give every process and piece an image.
    """

    def __init__(
        self, objective: Objective[BatchT], spec: TrainingSpec, index: int, count: int
    ) -> None:
        self.objective = objective
        self.spec = spec
        self.parts = count * spec.gradient_accumulation
        self.mine = range(
            index * spec.gradient_accumulation, (index + 1) * spec.gradient_accumulation
        )
        if spec.smallest_batch < self.parts:
            raise ConfigError(
                f"training.batch_size: a batch of {spec.smallest_batch} images cannot give each of "
                f"{count} processes times {spec.gradient_accumulation} (gradient_accumulation) "
                f"pieces an image; give every batch, and the last one that is left of images, "
                f"{self.parts}"
            )

    def count(self, start: int) -> int:
        """Images, over all processes, of the batch that begins at image `start`."""
        return min(self.spec.batch_size, self.spec.images - start)

    def after(self, start: int, *, ahead: bool) -> Iterator[list[Part[BatchT]]]:
        """This process's parts of each batch from image `start` on.

        Args:
            ahead: prepare the next batch in a thread while the step runs, so that a GPU need not
                wait. What a batch holds depends on its position alone. On a CPU a second
                computing thread fights with the step for its cores, and costs half of its speed.
        """
        starts = range(start, self.spec.images, self.spec.batch_size)
        if not ahead:
            yield from map(self._parts, starts)
            return
        with ThreadPoolExecutor(1, "batches") as thread:
            coming = None
            for begin in starts:
                ready, coming = coming, thread.submit(self._parts, begin)
                if ready is not None:
                    yield ready.result()
            if coming is not None:
                yield coming.result()

    def _parts(self, start: int) -> list[Part[BatchT]]:
        count = self.count(start)
        edges = [count * number // self.parts for number in range(self.parts + 1)]
        return [
            Part(
                self.objective.batch(start + edges[n], edges[n + 1] - edges[n]),
                (edges[n + 1] - edges[n]) / count,
            )
            for n in self.mine
        ]
