"""What spinning OpenMP threads cost when something else runs beside a training.

A few training passes of the demo's network on two threads, with another busy process beside it:
threads that wait passively (as `tadsr` sets it) against threads that spin (the default of
OpenMP). Run: `python benchmarks/thread_waiting.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys

WORK = """
import time, torch
torch.set_num_threads(2)
net = torch.nn.Sequential(*[torch.nn.Conv2d(64, 64, 3, padding=1) for _ in range(8)])
x = torch.randn(8, 64, 16, 16)
for _ in range(5):
    net(x).sum().backward()
start = time.perf_counter()
for _ in range(50):
    net(x).sum().backward()
print((time.perf_counter() - start) / 50)
"""
BUSY = "while True: pass"


def seconds(policy: str) -> float:
    """Seconds of one pass under an OpenMP wait policy."""
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    done = subprocess.run([sys.executable, "-c", WORK], env=environment, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return float(done.stdout)


def main() -> None:
    """Print both times and their ratio."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 2)]
    try:
        active, passive = seconds("ACTIVE"), seconds("PASSIVE")
    finally:
        for process in busy:
            process.kill()
    print(f"spinning {active * 1e3:.1f} ms, passive {passive * 1e3:.1f} ms a pass: "
          f"{active / passive:.1f} times faster")  # fmt: skip


if __name__ == "__main__":
    main()
