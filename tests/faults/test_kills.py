"""kill -9 at random moments of the whole DAG, then the same command: the same bits, no litter."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from mlflow.tracking import MlflowClient

from tadsr.files import read_json
from tests.conftest import REPOSITORY
from tests.faults.conftest import Whole, make_place, marks
from tests.workplace import LONGEST, Workplace

sys.path.insert(0, str(REPOSITORY / "tests" / "publish"))
from shown import runs_of

pytestmark = marks("many kills, a quarter of an hour")

AIMED = Counter(data=1, weights=1, teacher=2, targets=2, sweep=3, student=4, evaluate=4, compare=1,
                report=2, publish=2)  # fmt: skip
"""How many jobs of each stage are to be hit in a round; those beside them are hit, too."""
HOW = ("group", "driver", "job")
"""All processes; `tadsr run` alone, whose jobs live on; one job, while `tadsr run` goes on."""
KILLS = 20
MOST_ROUNDS = 4


def test_killed_in_every_stage_the_same_command_ends_in_the_same_bits(
    whole: Whole, tmp_path: Path
) -> None:
    chance, hits = random.Random(20), []
    for number in range(MOST_ROUNDS):
        place, left = make_place(tmp_path / f"broken-{number}"), AIMED.copy()
        while left and len(hits) < KILLS:
            process = start(place)
            stage = wait_for(process, left)
            if not stage:
                break  # it came through
            time.sleep(chance.uniform(0, 0.9) * seconds_of(whole.place, stage))
            hits.append(strike(process, HOW[len(hits) % len(HOW)], stage, chance))
            left -= Counter(stages_of(hits[-1]))
        finish_and_compare(place, whole)
        if len(hits) >= KILLS:
            break
    tell(hits)
    # The check of weights is over in a moment; it is not always caught.
    assert set().union(*map(stages_of, hits)) >= set(AIMED) - {"weights"}
    assert len(hits) >= KILLS


def stages_of(hit: str) -> set[str]:
    return {stage for stage in AIMED if re.search(rf"\b{stage}\b", hit)}


def test_killed_at_any_moment_the_same_command_ends_in_the_same_bits(
    whole: Whole, tmp_path: Path
) -> None:
    chance, hits, rounds = random.Random(21), [], 0
    while len(hits) < KILLS:
        place, rounds = make_place(tmp_path / f"broken-{rounds}"), rounds + 1
        ended = False
        while not ended and len(hits) < KILLS:
            process = start(place)
            ended = not outlasts(process, chance.uniform(0.02, 0.3) * whole.seconds)
            if not ended:
                hits.append(strike(process, HOW[len(hits) % 2], "", chance))
        finish_and_compare(place, whole)
    tell(hits)


def test_killed_alone_a_training_goes_on_where_it_was(whole: Whole, tmp_path: Path) -> None:
    """A stage run by hand, killed again and again: each time it has come further."""
    place, chance, kills = make_place(tmp_path / "broken"), random.Random(22), 0
    for stage in ("data", "teacher", "targets"):
        place.tadsr(stage, str(place.experiment))
    progress = place.root / "logs" / "student" / "full.progress.json"
    while kills < KILLS:
        progress.unlink(missing_ok=True)
        process = place.start("student", str(place.experiment), "full")
        while process.poll() is None and not progress.exists():
            time.sleep(0.02)
        if not outlasts(process, chance.uniform(0.0, 1.0)):
            break
        process.kill()
        process.communicate()
        kills += 1
    print(f"\nkilled {kills} times before it came to its end")
    assert kills
    place.tadsr("student", str(place.experiment), "full")
    found = {name: data for name, data in place.results().items() if "students/full/" in name}
    assert found.keys() == {name for name in whole.place.results() if "students/full/" in name}
    assert found == {name: whole.place.results()[name] for name in found}
    assert place.leftovers() == []


def start(place: Workplace) -> subprocess.Popen[str]:
    return place.start("run", str(place.experiment), "--offline", "--cores", "2")


def jobs_of(process: subprocess.Popen[str]) -> dict[int, str]:
    """The running jobs below `tadsr run`: process id to `stage job`."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:  # it ended meanwhile
            continue
        if len(words) > 2 and words[1].endswith("/tadsr"):
            found[child.pid] = " ".join([words[2], *words[4:5]]).replace(" --expect", "")
    return found


def wait_for(process: subprocess.Popen[str], stages: Counter[str]) -> str:
    """Wait until a job of one of the stages runs; empty if `tadsr run` ends before."""
    while process.poll() is None:
        running = {job.split()[0] for job in jobs_of(process).values()}
        for stage in stages:
            if stages[stage] and stage in running:
                return stage
        time.sleep(0.02)
    return ""


def outlasts(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process is still there after so long; one that ended must have ended well."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    assert process.returncode == 0, output
    return False


def strike(process: subprocess.Popen[str], how: str, stage: str, chance: random.Random) -> str:
    """Kill; returns what was running."""
    running = jobs_of(process)
    hit = ", ".join(sorted(running.values())) or "between jobs"
    victims = [pid for pid, job in running.items() if job.split()[0] == stage]
    if how == "job" and victims:
        os.kill(chance.choice(victims), signal.SIGKILL)
        output, _ = process.communicate(timeout=LONGEST)
        assert "Traceback" not in output, output
    elif how == "driver":
        process.kill()
        process.wait()
    else:
        how = "group"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"{how}: {hit}"


def tell(hits: list[str]) -> None:
    print("\nkilled:", *hits, sep="\n  ")
    print(Counter(hit.split(":")[0] for hit in hits))


def seconds_of(place: Workplace, stage: str) -> float:
    """How long a job of the stage took in the undisturbed run, its start-up included."""
    times = [*place.root.glob(f"logs/{stage}/*.time.json"), place.root / f"logs/{stage}.time.json"]
    return float(max(read_json(path)["seconds"] for path in times if path.is_file()))


def finish_and_compare(place: Workplace, whole: Whole) -> None:
    """The same command once more, and everything that has to be equal."""
    place.run("--cores", "2")
    found, wanted = place.results(), whole.place.results()
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert shown(place) == shown(whole.place)
    assert place.leftovers() == []
    assert "nothing to do" in place.run()
    assert "all digests match" in place.tadsr("verify", str(place.root / "experiment.json"))


def shown(place: Workplace) -> dict[str, Any]:
    """What MLflow has of each run: status, and curves and scores; not times and costs."""
    client = MlflowClient(place.environment["MLFLOW_TRACKING_URI"])
    found: dict[str, Any] = {}
    for key, run in runs_of(client, "mini").items():
        names = [name for name in run.data.metrics if name.split("/")[0] == "loss" or
                 name.split("/")[-1] in ("psnr", "ssim")]  # fmt: skip
        found[key] = run.info.status, {
            name: sorted((point.step, point.value)
                         for point in client.get_metric_history(run.info.run_id, name))
            for name in names
        }  # fmt: skip
    return found
