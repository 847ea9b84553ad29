"""How many jobs a second Snakemake gets through when thousands may start.

    python -m benchmarks.scheduling [--variants 500] [--seeds 10] [--seconds 60]

The experiment of `benchmarks/plan_scale.py`, with a `tadsr` in its place that does nothing but
write a receipt: what is left is the time that Snakemake takes to build the graph and to choose
jobs. Printed: jobs in so many seconds, with the settings of workflow/profiles/local and with the
scheduler that Snakemake takes by itself, and the ratio of the two.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.plan_scale import REPOSITORY, experiment_text

RECEIPTS = """\
#!/bin/sh
case $1 in
    student|evaluate|targets) receipt=$1/$3 ;;
    *) receipt=$1 ;;
esac
mkdir -p "results/big/jobs/$(dirname "$receipt")"
echo '{}' > "results/big/jobs/$receipt.json"
"""
DEFAULT = ("--scheduler", "ilp", "--scheduler-subsample", "1000000")


def main() -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--variants", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    ours = jobs_done("the profile's scheduler", args)
    theirs = jobs_done("Snakemake's own choice", args, *DEFAULT)
    print(f"{ours / max(theirs, 1):.0f} times as many")


def jobs_done(name: str, args: argparse.Namespace, *flags: str) -> int:
    """How many jobs are through in `args.seconds` after the first."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "big.yaml").write_text(experiment_text(args.variants, args.seeds, sets=1))
        stand_in = folder / "bin" / "tadsr"
        stand_in.parent.mkdir()
        stand_in.write_text(RECEIPTS)
        stand_in.chmod(0o755)
        begun = time.perf_counter()
        process = start(folder, *flags)
        while not count(folder) and process.poll() is None:
            time.sleep(0.1)
        first = time.perf_counter() - begun
        time.sleep(args.seconds)
        done = count(folder)
        process.send_signal(signal.SIGINT)
        process.wait()
    print(f"{name}: {done} jobs in {args.seconds:g} s, {done / args.seconds:.1f} a second; "
          f"the first was done after {first:.1f} s")  # fmt: skip
    return done


def start(folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    """Snakemake as `tadsr run` calls it, with the stand-in first in the path."""
    profile = REPOSITORY / "workflow" / "profiles" / "local"
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile",
               "--workflow-profile", profile, "--config", "experiment=big.yaml", "--cores", "2",
               *flags]  # fmt: skip
    path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdout=log, stderr=log,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip


def count(folder: Path) -> int:
    """Receipts so far."""
    return sum(1 for _ in (folder / "results" / "big" / "jobs").rglob("*.json"))


if __name__ == "__main__":
    main()
