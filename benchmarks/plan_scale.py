"""Planning of 10 000 jobs: fresh, finished, and while some of them run.

    python -m benchmarks.plan_scale [--variants 500] [--seeds 10] [--sets 4] [--folder FOLDER]

An experiment of variants x seeds with a job for each training and each evaluation. Measured, each
in a process of its own: `tadsr plan`, `tadsr status`, `tadsr run --dry-run`, and Snakemake's own
dry run, which builds the graph as `tadsr run` has it built, and prints each job. First without any
results; then with everything finished (run cards, scores and receipts by the product's own
writers; nothing is trained) once more, and a whole `tadsr run` with nothing to do. Last, `status`
while the experiment's lock is held and two of a thousand unfinished jobs say how far they are.
Bounds: 30 s and 2 GiB, status 3 s. Snakemake alone on a file of as many jobs without `tadsr` is
what it is held against. A second run in the same folder takes the results that are there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measured import Taken, check, take

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS, GIB, STATUS_SECONDS = 30.0, 2.0, 3.0
UNFINISHED = 1000

BARE = """\
NAMES = [f"v{{v}}s{{s}}" for v in range({variants}) for s in range({seeds})]
rule all:
    input: expand("done/evaluate/{{name}}", name=NAMES)
rule train:
    output: "done/train/{{name}}"
    shell: "touch {{output}}"
rule evaluate:
    input: "done/train/{{name}}"
    output: "done/evaluate/{{name}}"
    shell: "touch {{output}}"
"""


def experiment_text(variants: int, seeds: int, sets: int) -> str:
    """The experiment file."""
    photos = "kind: photos, split: test, degradation: bicubic"
    tests = [f"    set-{i}: {{{photos}, size: {64 + 16 * i}}}" for i in range(sets)]
    deltas = [f"  weight-{i:03d}: {{student.losses.adversarial.weight: {i / 1000}}}"
              for i in range(1, variants)]  # fmt: skip
    return "\n".join([
        "name: big", f"seeds: {list(range(seeds))}",
        "primary: [{dataset: set-0, metric: psnr}]",
        "data:",
        "  train: {kind: photos, split: train, degradation: bicubic, crop: 64}",
        "  val: {kind: photos, split: val, degradation: bicubic, crop: 64}",
        "  test:", *tests,
        "variants:", "  full: {}", *deltas,
        "evaluation:",
        "  {models: [bicubic, teacher-15, teacher-1], metrics: [psnr], cost: {sizes: []}}",
        "execution: {cells_per_job: cell}", "",
    ])  # fmt: skip


def main() -> int:
    """Measure and print; exit code 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--variants", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="work here, and leave the results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench((args.folder or Path(temporary)).resolve(), args)
        bench.measure()
    return int(bench.missed)


class Bench:
    """A folder with the experiment, and what was measured in it."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args
        self.results = folder / "results" / "big"
        self.frozen = Path("results/big/experiment.json")  # as `tadsr run` names it
        self.missed = False
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        text = experiment_text(args.variants, args.seeds, args.sets)
        (folder / "big.yaml").write_text(text)

    def measure(self) -> None:
        """All of it, in order."""
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        if not (self.results / "jobs" / "publish.json").is_file():
            self.fresh()
            self.make("finishing it (not measured against anything)", "finish")
        self.finished()
        self.under_way()

    def fresh(self) -> None:
        """Without any results."""
        self.timed("plan", "plan", "big.yaml")
        self.timed("status, nothing done", "status", "big.yaml", seconds=STATUS_SECONDS)
        self.timed("run --dry-run, nothing done", "run", "big.yaml", "--dry-run")
        self.make("freezing it", "freeze")
        ours = self.snakemake("Snakemake's dry run, nothing done", "--dry-run")
        bare = self.bare()
        print(f"{'':52}{ours.cpu / bare.cpu:.1f} times the CPU time, "
              f"{ours.peak / bare.peak:.1f} times the memory of the bare one")  # fmt: skip

    def finished(self) -> None:
        """With everything there: nothing must be left to do."""
        self.timed("plan, everything done", "plan", "big.yaml")
        self.timed("status, everything done", "status", "big.yaml", seconds=STATUS_SECONDS)
        self.timed("run --dry-run, everything done", "run", "big.yaml", "--dry-run")
        self.expect("big: 0 of")
        self.snakemake("Snakemake's dry run, everything done", "--dry-run")
        self.expect("Nothing to be done")
        self.timed("run with nothing to do", "run", "big.yaml", "--offline")
        self.expect("nothing to do, everything is up to date")

    def under_way(self) -> None:
        """A lock held, a thousand jobs undone, two of them running."""
        jobs = sorted((self.results / "jobs" / "evaluate").glob("weight-*.json"))[:UNFINISHED]
        aside = self.results / "jobs.aside"
        aside.mkdir()
        for job in jobs:
            job.rename(aside / job.name)
        notes = [self.results / "logs" / "evaluate" / f"{job.stem}.progress.json"
                 for job in jobs[:2]]  # fmt: skip
        for note in notes:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text('{"share": 0.5, "label": "x", "pace": "1 a second, 9 s left"}')
        command = [sys.executable, "-c", HOLD, self.results / ".lock"]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPOSITORY)
        time.sleep(2)
        try:
            self.timed("status, a run under way", "status", "big.yaml", seconds=STATUS_SECONDS)
            self.expect("running")
        finally:
            holder.communicate()
            for note in notes:
                note.unlink()
            for job in jobs:
                (aside / job.name).rename(job)
            aside.rmdir()

    def timed(self, name: str, *arguments: str, seconds: float = SECONDS) -> Taken:
        """A `tadsr` command, held against the bounds."""
        return self._take(name, [sys.executable, "-m", "tadsr", *arguments], seconds)

    def snakemake(self, name: str, *flags: str) -> Taken:
        """Snakemake as `tadsr run` calls it."""
        profile = REPOSITORY / "workflow" / "profiles" / "local"
        return self._take(name, [
            sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile",
            "--workflow-profile", profile, "--config", f"experiment={self.frozen}",
            "--cores", "2", *flags,
        ], SECONDS)  # fmt: skip

    def bare(self) -> Taken:
        """Snakemake on as many jobs, without anything of ours."""
        folder = self.folder / "bare"
        folder.mkdir(exist_ok=True)
        (folder / "Snakefile").write_text(BARE.format(**vars(self.args)))
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2"]
        return self._take("the same, of a bare Snakefile with as many jobs", command, 0.0, folder)

    def make(self, name: str, what: str) -> None:
        """A step of the making of results, in a process of its own."""
        command = [sys.executable, "-m", "benchmarks.plan_scale_results", what, "big.yaml"]
        if self._take(name, command, 0.0).code:
            sys.exit(1)

    def expect(self, words: str) -> None:
        """See to it that the last command said so."""
        if words not in self.log.read_text():
            self.missed = True
            print(f"  it did not say '{words}': {self.log}")

    def _take(self, name: str, command: list[str | Path], seconds: float,
              folder: Path | None = None) -> Taken:  # fmt: skip
        self.log = self.logs / f"{name.replace(' ', '-').replace(',', '')}.log"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        taken = take(command, self.log, folder or self.folder,
                     {"PYTHONPATH": str(REPOSITORY), "PATH": path})  # fmt: skip
        good = check(name, taken, self.log, seconds=seconds or None, gib=GIB if seconds else None)
        self.missed |= not good
        return taken


HOLD = """
import sys
from tadsr.locks import Lock
with Lock(sys.argv[1], "this benchmark"):
    sys.stdin.read()
"""

if __name__ == "__main__":
    sys.exit(main())
