"""What waiting OpenMP threads cost, on an idle machine and beside other work.

Training passes of the demo's network on two threads: GNU OpenMP's default (long spinning), the
short spinning that `tadsr` sets, and none. Run: `python benchmarks/thread_waiting.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys

WORK = """
import time, torch
from tadsr.config.teacher import NETWORKS
from tadsr.models import SwinUNet2DModel
torch.set_num_threads(2)
net = SwinUNet2DModel(in_channels=48, out_channels=48, lq_channels=3, sample_size=16,
                      **NETWORKS["tiny"].model_dump())
x, lq, t = torch.randn(4, 48, 16, 16), torch.randn(4, 3, 16, 16), torch.zeros(4).long()
for _ in range(5):
    net(x, t, lq).sample.sum().backward()
start = time.perf_counter()
for _ in range(30):
    net(x, t, lq).sample.sum().backward()
print((time.perf_counter() - start) / 30)
"""
POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "short (tadsr)": {"GOMP_SPINCOUNT": "5000"},
    "none": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = "while True: pass"


def seconds(policy: dict[str, str]) -> float:
    """Seconds of one pass forward and backward."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", WORK], env={**clean, **policy}, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return float(done.stdout)


def table(title: str) -> None:
    """Print milliseconds per policy, and the ratio of the default to it."""
    times = {name: seconds(policy) for name, policy in POLICIES.items()}
    for name, value in times.items():
        ratio = times["default"] / value
        print(f"{title:18} spinning {name:14} {value * 1e3:7.1f} ms, {ratio:5.2f} times as fast")


def main() -> None:
    """Measure alone, then beside one busy process per core."""
    table("alone")
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 2)]
    try:
        table("beside other work")
    finally:
        for process in busy:
            process.kill()


if __name__ == "__main__":
    main()
