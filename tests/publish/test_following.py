"""`tadsr publish --follow`: what it carries, and that it leaves what a plain publish leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up_results import DIVERGED, NAME, write_receipts, write_training
from mlflow.tracking import MlflowClient
from shown import ids_of, runs_of, shown

from tadsr.cli import main
from tadsr.commands import publish as command
from tadsr.locks import Lock
from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri
from tadsr.publish.connection import UnreachableError
from tadsr.publish.following import Follower

CELL = "students/full/seed-0"
TRAININGS = ["teacher", *(f"students/{v}/seed-{s}" for v in ("full", "no_gan") for s in (0, 1))]


@pytest.fixture
def fresh(plan: Plan) -> Plan:
    """An experiment of which nothing was trained yet; what is after trainings lies in `later/`."""
    later = plan.root.parent / "later"
    later.mkdir()
    for name in ("teacher", "students", "evaluations", "comparison", "report"):
        (plan.root / name).rename(later / name)
    return plan


def finish(plan: Plan) -> None:
    """All trainings as they end, evaluated, compared and reported."""
    for name in ("evaluations", "comparison", "report"):
        (plan.root.parent / "later" / name).rename(plan.root / name)
    for name in TRAININGS:
        end(plan, name)
    write_receipts(plan)


def end(plan: Plan, name: str) -> None:
    lost = name == f"students/{DIVERGED[0]}/seed-{DIVERGED[1]}"
    results = {"val/single_step_mse": 0.02} if name == "teacher" else None
    write_training(plan, name, "diverged" if lost else "done", results=results)


def client_of(plan: Plan) -> MlflowClient:
    return MlflowClient(tracking_uri(plan.root.parent))


def curve(plan: Plan, key: str = "full/seed-0") -> list[tuple[int, float]]:
    client = client_of(plan)
    run_id = ids_of(client, NAME)[key]
    return sorted((p.step, p.value) for p in client.get_metric_history(run_id, "loss/regression"))


def plain(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a plain publish of the same files to an empty database shows."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/plain.db")
        publish(plan)
        return shown(MlflowClient(f"sqlite:///{tmp_path}/plain.db"), NAME, tmp_path / "plain")


def test_a_run_grows_from_its_first_point_to_its_scores(
    fresh: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(fresh)
    assert follower.carry() == []
    write_training(fresh, CELL, "running", points=1)
    assert follower.carry() == ["full/seed-0: running"]
    assert curve(fresh) == [(8, 1.0)] and follower.carry() == []
    first = ids_of(client_of(fresh), NAME)
    assert set(first) == {"experiment", "full/seed-0"}
    write_training(fresh, CELL, "running", points=3)
    follower.carry()
    assert curve(fresh) == [(8, 1.0), (16, 0.5), (24, 1 / 3)]
    runs = runs_of(client_of(fresh), NAME)
    assert {run.info.status for run in runs.values()} == {"RUNNING"}
    assert runs["experiment"].data.tags["tadsr.progress"] == "0 of 4 students trained"
    end(fresh, CELL)
    assert follower.carry() == ["full/seed-0: done"]
    runs = runs_of(client_of(fresh), NAME)
    assert runs["full/seed-0"].info.status == "FINISHED"
    assert runs["experiment"].data.tags["tadsr.progress"] == "1 of 4 students trained"
    finish(fresh)
    follower.carry()
    publish(fresh)
    last = ids_of(client_of(fresh), NAME)
    assert first.items() <= last.items()
    assert shown(client_of(fresh), NAME, tmp_path / "s") == plain(fresh, tmp_path, monkeypatch)


def test_a_resumed_training_doubles_nothing(
    fresh: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_training(fresh, CELL, "running", points=3)
    Follower(fresh).carry()
    first = ids_of(client_of(fresh), NAME)
    for points in (1, 2, 3, 4):  # killed; back to the state at 8 images; another follower too
        write_training(fresh, CELL, "running", points=points)
        Follower(fresh).carry()
        assert len(curve(fresh)) == max(points, 3)
    finish(fresh)
    publish(fresh)
    assert ids_of(client_of(fresh), NAME)["full/seed-0"] == first["full/seed-0"]
    assert shown(client_of(fresh), NAME, tmp_path / "s") == plain(fresh, tmp_path, monkeypatch)


def test_a_resumed_training_with_other_values_leaves_no_wrong_point(
    fresh: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_training(fresh, CELL, "running", points=3, scale=5.0)
    follower = Follower(fresh)
    follower.carry()
    write_training(fresh, CELL, "running", points=1)
    follower.carry()
    assert curve(fresh) == [(8, 1.0)]
    finish(fresh)
    publish(fresh)
    assert shown(client_of(fresh), NAME, tmp_path / "s") == plain(fresh, tmp_path, monkeypatch)


def test_what_is_published_keeps_its_scores_while_another_trains(plan: Plan) -> None:
    publish(plan)
    before = ids_of(client_of(plan), NAME)
    write_training(plan, CELL, "running", points=2, scale=3.0)  # of another recipe, say
    assert Follower(plan).carry() == ["full/seed-0: running"]
    runs = runs_of(client_of(plan), NAME)
    after = {key: run.info.run_id for key, run in runs.items()}
    assert {key for key in after if after[key] != before[key]} == {"full/seed-0"}
    assert "photos/lpips" in runs["full/seed-1"].data.metrics
    assert "photos/lpips" not in runs["full/seed-0"].data.metrics
    # The report of before stays in view until there is another.
    client = client_of(plan)
    files = [f.path for f in client.list_artifacts(after["experiment"], "report")]
    assert "report/index.html" in files
    assert runs["experiment"].info.status == "RUNNING"


def test_a_training_of_other_settings_is_no_news(plan: Plan) -> None:
    card = plan.root / CELL / "run.json"
    card.write_text(card.read_text().replace(plan.recipe_digest(CELL), "0" * 64))
    assert "full/seed-0: done" not in Follower(plan).carry()


def test_what_could_not_be_sent_is_sent_later(
    fresh: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(fresh)
    write_training(fresh, CELL, "running", points=2)
    real = MlflowClient.log_batch
    for broken_call in (1, 2, 3):
        calls: list[int] = []

        def fails(*args: object, n: int = broken_call, c: list[int] = calls, **kw: object) -> None:
            c.append(1)
            if len(c) >= n:
                raise ConnectionError("away")
            real(*args, **kw)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "log_batch", fails)
            with pytest.raises(UnreachableError, match="away"):
                follower.carry()
    assert follower.carry() == ["full/seed-0: running"]
    assert curve(fresh) == [(8, 1.0), (16, 0.5)]


Steps = list[Callable[[], object]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    """What happens to the experiment between one look of the command and the next."""
    steps: Steps = []

    def step(_: float) -> None:
        assert steps, "the follower looks on for ever"
        steps.pop(0)()

    monkeypatch.setattr(command.time, "sleep", step)
    yield steps
    assert not steps


def test_the_command_ends_with_the_experiment(
    fresh: Plan, quick: Steps, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = Lock(fresh.root / ".lock", "experiment")
    quick += [
        lambda: run.__enter__(),
        lambda: write_training(fresh, CELL, "running", points=2),
        lambda: end(fresh, CELL),
        lambda: finish(fresh),
        lambda: run.__exit__(),
    ]
    assert main(["publish", "--follow", str(fresh.root / "experiment.json")]) == 0
    said = capsys.readouterr().out
    assert said.index("full/seed-0: running") < said.index("full/seed-0: done")
    assert "runs written" in said
    assert fresh.receipt("publish").is_file()
    assert shown(client_of(fresh), NAME, tmp_path / "s") == plain(fresh, tmp_path, monkeypatch)


def test_the_command_says_when_the_run_ended_before_its_end(
    fresh: Plan, quick: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Lock(fresh.root / ".lock", "experiment")
    quick += [
        lambda: run.__enter__(),
        lambda: (end(fresh, CELL), run.__exit__()),
    ]
    assert main(["publish", "--follow", str(fresh.root / "experiment.json")]) == 1
    assert "ended before everything was done" in capsys.readouterr().err
    assert len(curve(fresh)) == 4  # the last news was carried


def test_ctrl_c_ends_it_well(
    fresh: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", interrupted)
    assert main(["publish", "--follow", str(fresh.root / "experiment.json")]) == 0
    assert "catches up" in capsys.readouterr().out


def test_with_nothing_left_to_do_it_publishes_and_ends(plan: Plan) -> None:
    write_receipts(plan)
    assert main(["publish", "--follow", str(plan.root / "experiment.json")]) == 0
    assert plan.receipt("publish").is_file()


@pytest.mark.parametrize("flag", ["--partial", "--replace"])
def test_flags_that_do_not_go_together(
    plan: Plan, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", "--follow", flag, str(plan.root / "experiment.json")]) == 2
    assert "--follow goes with neither" in capsys.readouterr().err
