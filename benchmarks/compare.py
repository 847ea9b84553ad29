"""Time and memory of all statistics of a large experiment, against a plain mean by pandas.

Run: `python benchmarks/compare.py [--variants 20] [--seeds 5] [--datasets 5] [--metrics 10]
[--images 200]`; by default a million scores. Prints the seconds of `compare`, `summarize` and
`find_alarms`, the peak memory of the process before and after, and how many times longer all of it
takes than `groupby(...).mean()` over the same frame, in CPU time: one thread does it all, and other
work on the machine does not count. Made-up scores, with seed effects.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tadsr.compare import compare, find_alarms, summarize
from tadsr.config.metrics import METRICS


def scores(args: argparse.Namespace) -> pd.DataFrame:
    """One row per score, as `tadsr evaluate` leaves them."""
    names = {
        "variant": ["full", *(f"variant-{n:02d}" for n in range(1, args.variants))],
        "seed": list(range(args.seeds)),
        "dataset": [f"set-{n}" for n in range(args.datasets)],
        "metric": [f"metric-{n}" for n in range(args.metrics)],
        "image": [f"{n:04d}" for n in range(args.images)],
    }
    rng = np.random.default_rng(0)
    shape = [len(values) for values in names.values()]
    run = rng.normal(0, 0.05, (*shape[:4], 1))
    values = run + rng.normal(0, 0.1, shape) + rng.normal(0, 1, shape[-1])
    frame = pd.MultiIndex.from_product(names.values(), names=list(names)).to_frame(index=False)
    return frame.assign(value=values.ravel()).astype({"seed": "Int64"})


def peak_mib() -> float:
    """Most memory that this process has held, in MiB (Linux counts KiB, macOS bytes)."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def timed(name: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of `work`, printed beside those of the clock, and what it gave."""
    begun, busy = time.perf_counter(), time.process_time()
    found = work()
    seconds = time.process_time() - busy
    print(f"{name:<34} {time.perf_counter() - begun:8.2f} s ({seconds:.2f} s of CPU)")
    return seconds, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("variants", 20), ("seeds", 5), ("datasets", 5), ("metrics", 10),
                          ("images", 200)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    frame = scores(args)
    keys = ["variant", "seed", "dataset", "metric"]
    metrics = [METRICS[("psnr", "musiq")[n % 2]].model_copy(update={"id": f"metric-{n}"})
               for n in range(args.metrics)]  # fmt: skip
    directions = {spec.id: spec.direction for spec in metrics}
    print(f"{len(frame)} scores; peak before: {peak_mib():.0f} MiB")
    plain, _ = timed("groupby(...).mean() (baseline)", lambda: frame.groupby(keys)["value"].mean())
    base = peak_mib()
    whole = 0.0
    seconds, comparisons = timed("compare", lambda: compare(
        frame, "full", [("set-0", "metric-0")], directions=directions))  # fmt: skip
    whole += seconds
    seconds, summaries = timed("summarize", lambda: summarize(frame))
    whole += seconds
    seconds, alarms = timed("find_alarms", lambda: find_alarms(
        comparisons, summaries, metrics=metrics))  # fmt: skip
    whole += seconds
    print(f"{len(comparisons)} comparisons and {len(alarms)} alarms: {whole:.1f} s of CPU, "
          f"{whole / plain:.0f} times the baseline")  # fmt: skip
    print(f"peak after: {peak_mib():.0f} MiB ({peak_mib() - base:.0f} above the baseline)")


if __name__ == "__main__":
    main()
