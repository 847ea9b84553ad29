"""The job table: what Snakemake runs, in which order, and where each thing lies.

`Plan` is what the Snakefile, `tadsr run`, `status` and every stage command read; none of them
works out a path or a digest of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tadsr.config.experiment import Cell, Experiment
from tadsr.config.student import TargetsSpec
from tadsr.errors import ConfigError, TadsrError
from tadsr.files import digest_json
from tadsr.plan import recipes

STAGES = ("data", "weights", "teacher", "targets", "student", "evaluate", "compare", "report",
          "publish")  # fmt: skip
MANY_JOBS = ("targets", "student", "evaluate")
"""The stages that consist of several jobs, each with a name of its own."""


@dataclass(frozen=True)
class Job:
    """Cells that share a process; ends in a receipt."""

    stage: str
    name: str
    cells: tuple[str, ...]
    inputs: tuple[str, ...]
    """Ids of the jobs whose receipts must be there."""
    digest: str
    threads: int = 1
    cost: float = 1.0
    """Estimated seconds on one laptop core, for the share done and the time left."""

    @property
    def id(self) -> str:
        """`<stage>`, or `<stage>/<name>` for a stage of several jobs."""
        return f"{self.stage}/{self.name}" if self.stage in MANY_JOBS else self.stage


class Plan:
    """All jobs of an experiment and all places below its results folder."""

    def __init__(self, experiment: Experiment, root: Path, argument: str = "") -> None:
        self.experiment = experiment
        self.root = root
        self.argument = argument
        """The experiment as a stage command takes it."""
        self.jobs: dict[str, Job] = {job.id: job for job in _jobs(experiment)}

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | None = None,
             results: str | Path = "results") -> Plan:  # fmt: skip
        """The plan of an experiment file, or of a frozen `experiment.json` and its folder."""
        frozen = Path(path).suffix == ".json"
        if frozen and Path(path).name != "experiment.json":
            raise ConfigError(
                f"{path}: experiment files are YAML; of JSON files only the experiment.json of a "
                "results folder can be read"
            )
        experiment = Experiment.load(path, overrides or [])
        root = Path(path).parent if frozen else Path(results) / experiment.name
        return cls(experiment, root, str(path))

    def stage(self, stage: str) -> list[Job]:
        """The jobs of a stage, in the order of the experiment file."""
        return [job for job in self.jobs.values() if job.stage == stage]

    def receipt(self, job_id: str) -> Path:
        """Where a job's receipt lies, its last output."""
        return self.root / "jobs" / f"{job_id}.json"

    def output(self, job_id: str) -> Path:
        """What the rules wait for: the receipt, or for the report the page itself."""
        page = self.root / "report" / "index.html"
        return page if job_id == "report" else self.receipt(job_id)

    def log(self, job_id: str) -> Path:
        """Where a job's output goes."""
        return self.root / "logs" / f"{job_id}.log"

    def progress(self, job_id: str) -> Path:
        """Where a running job says how far it is."""
        return self.root / "logs" / f"{job_id}.progress.json"

    def dataset(self, name: str) -> Path:
        """A data set's folder."""
        return self.root / "data" / name

    @property
    def teacher(self) -> Path:
        """The teacher's run folder."""
        return self.root / "teacher"

    def pool(self, cell: Cell) -> Path:
        """The target pool a cell learns from."""
        return self.root / "targets" / recipes.pool_name(self.experiment, cell.targets)

    def targets(self, pool: str) -> TargetsSpec:
        """The settings of a pool, by its name."""
        for cell in self.experiment.cells():
            if recipes.pool_name(self.experiment, cell.targets) == pool:
                return cell.targets
        raise TadsrError(f"{pool}: no variant uses this target pool; run `tadsr run` again")

    def recipe_digest(self, run: str) -> str:
        """The digest of the recipe that belongs in a run folder, named from the results folder."""
        stage, _, name = run.partition("/")
        if stage == "data":
            return recipes.dataset(self.experiment.data.all()[name]).digest
        if stage == "targets":
            return recipes.pool(self.experiment, self.targets(name)).digest
        made_by = recipes.upscaler(self.experiment, name if stage == "students" else "teacher-1")
        assert made_by is not None  # noqa: S101 (only bicubic has no recipe)
        return made_by.digest

    def student(self, cell_name: str) -> Path:
        """A student's run folder, by `<variant>/seed-<n>`."""
        return self.root / "students" / cell_name

    def evaluation(self, upscaler: str) -> Path:
        """The folder of an upscaler's scores and images."""
        return self.root / "evaluations" / upscaler


def _jobs(experiment: Experiment) -> list[Job]:
    jobs = [_data_job(experiment), _weights_job(experiment), _teacher_job(experiment)]
    jobs += _target_jobs(experiment)
    students = _student_jobs(experiment)
    evaluations = _evaluate_jobs(experiment, students)
    jobs += [*students, *evaluations, *_closing_jobs(experiment, evaluations)]
    return jobs


def _data_job(experiment: Experiment) -> Job:
    sets = experiment.data.all()
    digest = digest_json(
        {
            name: [recipes.dataset(s).digest, s.crop, source_stamp(s.path)]
            for name, s in sets.items()
        }
    )
    return Job("data", "data", tuple(sets), (), digest, cost=5 + len(sets))


def source_stamp(path: str | None) -> Any:
    """Names, sizes and times of the files of a folder, so that a change of them is noticed."""
    if path is None:
        return None
    files = sorted(p for p in Path(path).expanduser().rglob("*") if p.is_file())
    stats = [(p.name, p.stat()) for p in files]
    return [path, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]]


def _weights_job(experiment: Experiment) -> Job:
    names = sorted({name for spec in experiment.evaluation.specs() for name in spec.weights})
    return Job("weights", "weights", tuple(names), (), digest_json(names), cost=1)


def _teacher_job(experiment: Experiment) -> Job:
    training = experiment.teacher.training
    cost = 3 + training.images * _image_cost(experiment)
    return Job("teacher", "teacher", ("teacher",), ("data",), recipes.teacher(experiment).digest,
               training.threads, cost)  # fmt: skip


def _target_jobs(experiment: Experiment) -> list[Job]:
    found: dict[str, Job] = {}
    for variant in experiment.variants:
        targets = experiment.cell(variant, experiment.seeds[0]).targets
        name = recipes.pool_name(experiment, targets)
        steps = experiment.teacher.schedule.num_train_timesteps
        images = (targets.pairs + targets.val_pairs) * steps / 3
        found[name] = Job(
            "targets", name, (name,), ("teacher",), recipes.pool(experiment, targets).digest,
            targets.threads, 3 + images * _image_cost(experiment),
        )  # fmt: skip
    return list(found.values())


def _student_jobs(experiment: Experiment) -> list[Job]:
    jobs = []
    for variant in experiment.variants:
        cells = [experiment.cell(variant, seed) for seed in experiment.seeds]
        for name, group in _grouped(experiment, variant, cells):
            pools = sorted({recipes.pool_name(experiment, cell.targets) for cell in group})
            digest = digest_json([recipes.student(experiment, cell).digest for cell in group])
            training = group[0].student.training
            cost = 3 + len(group) * training.images * _student_image_cost(experiment, group[0])
            jobs.append(Job("student", name, tuple(c.name for c in group),
                            tuple(f"targets/{pool}" for pool in pools), digest,
                            training.threads, cost))  # fmt: skip
    return jobs


def _grouped(
    experiment: Experiment, variant: str, cells: list[Cell]
) -> list[tuple[str, list[Cell]]]:
    if experiment.execution.cells_per_job == "cell":
        return [(f"{variant}--seed-{cell.seed}", [cell]) for cell in cells]
    return [(variant, cells)]


def _evaluate_jobs(experiment: Experiment, students: list[Job]) -> list[Job]:
    """One process per student job, and one for all models that are not students."""
    common = ("data", "weights")
    jobs = []
    models = experiment.evaluation.models
    if models:
        needs_teacher = any(model != "bicubic" for model in models)
        inputs = (*common, "teacher") if needs_teacher else common
        steps = sum(int(m.split("-")[1]) for m in models if m != "bicubic")
        jobs.append(_evaluate_job(experiment, "baselines", models, inputs, len(models), steps))
    for job in students:
        inputs = (*common, job.id)
        jobs.append(_evaluate_job(experiment, job.name, job.cells, inputs, len(job.cells),
                                  len(job.cells)))  # fmt: skip
    return jobs


def _evaluate_job(experiment: Experiment, name: str, upscalers: tuple[str, ...],
                  inputs: tuple[str, ...], models: int, steps: int) -> Job:  # fmt: skip
    tests = experiment.data.test
    digest = digest_json({
        "metrics": recipes.metrics(experiment.evaluation.specs()),
        "evaluations": [recipes.evaluation(experiment, upscaler, test).digest
                        for upscaler in upscalers for test in tests],
        "datasets": list(tests),
        "upscalers": list(upscalers),
    })  # fmt: skip
    cost = 8 + len(tests) * (2.0 * models + 1.0 * steps)
    return Job("evaluate", name, upscalers, inputs, digest, experiment.evaluation.threads, cost)


def _closing_jobs(experiment: Experiment, evaluations: list[Job]) -> list[Job]:
    question = {
        "version": recipes.STAGE_VERSIONS["compare"],
        "reference": experiment.reference,
        "primary": [endpoint.model_dump() for endpoint in experiment.primary],
        "variants": list(experiment.variants),
        "metrics": list(experiment.evaluation.metrics),
        "jobs": [job.digest for job in evaluations],
    }
    compare = Job("compare", "compare", (), tuple(job.id for job in evaluations),
                  digest_json(question), cost=6)  # fmt: skip
    shown = {
        "version": recipes.STAGE_VERSIONS["report"],
        "compare": compare.digest,
        "settings": experiment.model_dump(mode="json", exclude={"execution"}),
    }
    report = Job("report", "report", (), ("compare",), digest_json(shown), cost=12)
    publish = Job("publish", "publish", (), ("report",), report.digest, cost=10)
    return [compare, report, publish]


def _image_cost(experiment: Experiment) -> float:
    """Rough seconds per training image and network pass, forward and backward, on one core."""
    network = experiment.teacher.network
    crop = experiment.data.train.crop or 64
    width = network.model_channels * max(network.channel_mult)
    cost: float = 0.02 * (width / 64) ** 1.5 * network.num_res_blocks * (crop / 64) ** 2
    return cost


def _student_image_cost(experiment: Experiment, cell: Cell) -> float:
    losses = cell.student.losses
    passes = 1.0 + 0.7 * (losses.score_distillation.weight > 0)
    passes += 2.5 * (losses.adversarial.weight > 0)
    return passes * _image_cost(experiment)
