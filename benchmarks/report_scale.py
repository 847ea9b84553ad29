"""Comparison and report of 200 models x 6 test sets x 1000 images.

    python -m benchmarks.report_scale [--variants 66] [--seeds 3] [--sets 6] [--images 1000]
                                      [--pictures 4] [--side 256] [--folder FOLDER]

Run cards, curves and score files are made up and written by the product's own writers (nothing is
trained or scored); of each test set so many pictures lie on disk as the report shows. `tadsr
compare` and `tadsr report` then run as commands, in a process each. Printed: time and memory
against the bound of 4 GiB, and the ratio to reading all score files and taking a plain mean with
pandas. A second run in the same folder takes the results that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.measured import Taken, check, take

REPOSITORY = Path(__file__).resolve().parents[1]
GIB = 4.0
EXPERIMENT = "results/many/experiment.json"

BASELINE = """\
import sys, pathlib, pandas as pd
frames = [pd.read_parquet(p).assign(model=p.parent.as_posix(), dataset=p.stem)
          for p in sorted(pathlib.Path(sys.argv[1]).rglob("*.parquet"))]
whole = pd.concat(frames, ignore_index=True)
print(len(whole), len(whole.groupby(["model", "dataset", "metric"])["value"].mean()))
"""


def main() -> int:
    """Make results, measure, and print; exit code 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    for name, default in (("variants", 66), ("seeds", 3), ("sets", 6), ("images", 1000),
                          ("pictures", 4), ("side", 256)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="work here, and leave the results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return measure(folder, args)


def measure(folder: Path, args: argparse.Namespace) -> int:
    """The commands one after the other."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    if not (folder / EXPERIMENT).is_file():
        sizes = json.dumps({k: v for k, v in vars(args).items() if k != "folder"})
        made, _ = command(folder, "making results (not measured against anything)",
                          "-m", "benchmarks.report_scale_results", sizes)  # fmt: skip
        if made.code:
            return 1
    plain, _ = command(folder, "reading all score files, and a mean by pandas", "-c", BASELINE,
                       "results/many/evaluations")  # fmt: skip
    missed = False
    for name in ("compare", "report"):
        taken, good = command(folder, f"tadsr {name}", "-m", "tadsr", name, EXPERIMENT, gib=GIB)
        missed |= not good
        print(f"{'':52}{taken.cpu / plain.cpu:.1f} times the CPU time, "
              f"{taken.peak / plain.peak:.1f} times the memory of the plain mean")  # fmt: skip
    page = folder / "results" / "many" / "report" / "index.html"
    files = [path for path in page.parent.rglob("*") if path.is_file()]
    if page.is_file():
        print(f"page of {page.stat().st_size / 1e6:.1f} MB; {len(files)} files in the report")
    return int(missed)


def command(folder: Path, name: str, *arguments: str, gib: float | None = None
            ) -> tuple[Taken, bool]:  # fmt: skip
    """A run of Python in `folder`, printed."""
    log = folder / f"{name.split(' (')[0].replace(' ', '-').replace(',', '')}.log"
    taken = take([sys.executable, *arguments], log, folder, {"PYTHONPATH": str(REPOSITORY)})
    return taken, check(name, taken, log, gib=gib)


if __name__ == "__main__":
    sys.exit(main())
