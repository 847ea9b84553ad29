"""What a model costs: parameters, operations, latency and memory (docs/cost.md)."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from tadsr.config.cost import LEAST_REPEATS, SECONDS
from tadsr.errors import DataError
from tadsr.evaluation.cost_records import CostRecord
from tadsr.evaluation.upscalers import Upscaler
from tadsr.evaluation.workers import computing

MEMORY_METHODS = {
    "cpu": "torch's CPU allocator, by its profiler",
    "cuda": "torch's CUDA allocator (max_memory_allocated)",
}
TORCH_OWN = ("aten", "prim", "prims", "profiler")
"""Namespaces of operations of which we know which have multiplications worth counting."""
IMAGE = "cost"
"""Name of the measured image, on which the noise depends."""
SHORTEST = 0.1
"""Seconds from which on the kernel's ticks (of 10 ms) tell what else a machine does."""


def measure_cost(
    upscaler: Upscaler,
    sizes: Sequence[int] = (64, 128),
    device: torch.device | str = "cpu",
    *,
    repeats: int = 20,
    warmup: int = 2,
    seconds: float = SECONDS,
    threads: int | None = None,
) -> list[CostRecord]:
    """Measure what one LR image of each size costs; empty for what computes nothing.

    Args:
        upscaler: loaded, on `device`.
        sizes: sides of the square LR images, in pixels.
        repeats: timed runs. After `seconds` of warm-up and timed runs at a size no further one
            begins, but there are at least three timed ones.
        warmup: runs before these, after the two that count operations and memory.
        threads: torch's CPU threads meanwhile; None leaves them as they are.

    A size that the memory is too small for, or that the model refuses, has a record that says so.
    """
    networks = upscaler.networks
    if networks is None:
        return []
    with computing(threads):
        fixed = {
            "parameters": {role: _parameters(network) for role, network in networks.items()},
            "weight_bytes": sum(map(_weight_bytes, networks.values())),
            "dtype": _dtype(list(networks.values())),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "memory_method": MEMORY_METHODS[torch.device(device).type],
            **describe_device(device),
        }
        return [_measure(upscaler, side, fixed, repeats, warmup, seconds) for side in sizes]


def describe_device(device: torch.device | str) -> dict[str, str]:
    """Kind and name of a device, and the processor beside it."""
    device = torch.device(device)
    processor = _processor()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    return {"device": device.type, "device_name": name, "processor": processor}


def _processor() -> str:
    """The processor's model as the kernel names it, else its architecture."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _weight_bytes(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))


def _dtype(networks: Sequence[nn.Module]) -> str:
    """Of the parameters (float32 where there are none), or all of them if they differ."""
    found = {str(p.dtype) for network in networks for p in network.parameters()}
    return ", ".join(sorted(found or {"torch.float32"})).replace("torch.", "")


def _measure(
    upscaler: Upscaler,
    side: int,
    fixed: dict[str, Any],
    repeats: int,
    warmup: int,
    seconds: float,
) -> CostRecord:
    """One size. Operations and memory come first, so that they warm up what is timed."""
    lr = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))

    def once() -> Tensor:
        return upscaler.upscale(lr, IMAGE).detach().cpu()  # the copy waits for a GPU

    try:
        macs, uncounted = count_macs(once)
        growth = peak_growth(once, fixed["device"])
        timing = time_runs(once, repeats, warmup, seconds)
    except (DataError, RuntimeError, MemoryError) as error:
        reason = str(error) if isinstance(error, DataError) else _no_memory(error)
        return CostRecord(lr_side=side, missing=reason, **fixed)
    peak = fixed["weight_bytes"] + growth
    return CostRecord(
        lr_side=side, macs=macs, uncounted=uncounted, peak_bytes=peak, **timing, **fixed
    )


def _no_memory(error: RuntimeError | MemoryError) -> str:
    """The words for an error for want of memory; any other is raised again."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "too large for the memory"
    if "can't allocate memory" in str(error):  # torch's allocator on the CPU
        return "too large for the memory"
    raise error


class _Foreign(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of operations that are not torch's own."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in TORCH_OWN:
            self.names.add(f"{func.namespace}::{func.overloadpacket.__name__}")
        return func(*args, **(kwargs or {}))


def count_macs(once: Callable[[], object]) -> tuple[int, tuple[str, ...]]:
    """Multiply-accumulates of a call, and the operations from outside of torch it cannot count.

    Half of the operations that torch's FlopCounterMode counts in matrix products, convolutions
    and attention. Its list lacks the attention kernel of CPUs, which is added here.
    """
    cpu_attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    with (
        _Foreign() as foreign,
        FlopCounterMode(display=False, custom_mapping={cpu_attention: attention}) as counter,
    ):
        once()
    return counter.get_total_flops() // 2, tuple(sorted(foreign.names))


def peak_growth(once: Callable[[], object], device: str) -> int:
    """The most bytes that tensors made during a call take at a time, its result included.

    By torch's own account of its allocator, so other libraries' memory is not in it.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        once()
        return torch.cuda.max_memory_allocated() - held
    # Its tracing library tells of each start and stop otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with torch.autograd.profiler.profile(profile_memory=True) as profiler:
        once()
    assert profiler.kineto_results is not None  # noqa: S101 (the profiler has stopped)
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    taken = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        taken += event.nbytes()
        most = max(most, taken)
    return int(most)


def time_runs(
    once: Callable[[], object], repeats: int, warmup: int, seconds: float
) -> dict[str, Any]:
    """Seconds of each timed run, and what went on beside them."""
    deadline = time.perf_counter() + seconds
    warmed = 0
    while warmed < warmup and time.perf_counter() < deadline:
        once()
        warmed += 1
    load = round(os.getloadavg()[0], 2)
    taken: list[float] = []
    with watched() as beside:
        while len(taken) < repeats:
            if len(taken) >= LEAST_REPEATS and time.perf_counter() > deadline:
                break
            begun = time.perf_counter()
            once()
            taken.append(round(time.perf_counter() - begun, 7))
    return {
        "seconds": taken, "warmup": warmed, "load_average": load,
        "busy_elsewhere": beside.get("cores"),
    }  # fmt: skip


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Processor cores that others keep busy meanwhile, as `cores`; absent if it cannot be told."""
    found: dict[str, float] = {}
    begun, own, all_busy = time.perf_counter(), time.process_time(), busy_seconds()
    yield found
    wall, own = time.perf_counter() - begun, time.process_time() - own
    now = busy_seconds()
    if wall >= SHORTEST and all_busy is not None and now is not None:
        found["cores"] = round(max(0.0, now - all_busy - own) / wall, 2)


def busy_seconds() -> float | None:
    """Seconds for which the machine's processors worked, or were taken from it, since its start."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
