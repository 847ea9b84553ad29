"""The processes that carry out one job together (`accelerate launch`, torchrun); usually one.

The main process decides, holds the locks and writes the files; the others do as it does. What they
tell each other here travels over gloo from ordinary memory, so that nobody waits for a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

from tadsr.errors import TadsrError

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""For a lock that another job holds, say. The launcher ends all processes when one dies."""


def size() -> int:
    """Number of processes, as the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_main() -> bool:
    """Whether this is the process that decides and writes."""
    return size() == 1 or os.environ.get("RANK", "0") == "0"


def announce(text: str) -> None:
    """A line of output, of the main process alone."""
    if is_main():
        print(text, flush=True)


def join(device: str) -> str:
    """Meet the other processes; returns this one's device, such as `cuda:1`.

    Args:
        device: `cpu`, or anything else for a GPU per process where there are GPUs.
    """
    import torch
    from accelerate import PartialState

    # Without a GPU, accelerate finds the other processes only if it is told to use the CPU.
    return str(PartialState(cpu=device == "cpu" or not torch.cuda.is_available()).device)


def decide(work: Callable[[], T]) -> T:
    """Let the main process do `work`; all get its (picklable) result, or its error."""
    if size() == 1:
        return work()
    box: list[Any] = [None, None]
    failure = None
    if is_main():
        try:
            box[0] = work()
        except Exception as error:
            failure = error
            known = isinstance(error, TadsrError)
            box[1] = error if known else TadsrError(f"the main process failed: {error}")
    _broadcast(box)
    if failure or box[1]:
        raise failure or box[1]
    result: T = box[0]
    return result


def agree(*flags: bool) -> tuple[bool, ...]:
    """Of each flag, whether it is set in any process."""
    if size() == 1:
        return flags
    import torch
    from torch import distributed

    votes = torch.tensor(flags, dtype=torch.uint8)
    distributed.all_reduce(votes, distributed.ReduceOp.MAX, group=_group())
    return tuple(bool(vote) for vote in votes)


def _broadcast(box: list[Any]) -> None:
    from torch import distributed

    distributed.broadcast_object_list(box, src=0, group=_group())


@lru_cache(maxsize=1)
def _group() -> Any:
    from torch import distributed

    return distributed.new_group(backend="gloo", timeout=PATIENCE)
