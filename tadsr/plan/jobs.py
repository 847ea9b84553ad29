"""The job table: what Snakemake runs, in which order, and where each thing lies.

`Plan` is what the Snakefile, `tadsr run`, `status` and every stage command read; none of them
works out a path or a digest of its own.
"""

from __future__ import annotations

from pathlib import Path

from tadsr.config.experiment import Cell, Experiment
from tadsr.config.published import PUBLISHED
from tadsr.config.student import TargetsSpec
from tadsr.errors import ConfigError, TadsrError
from tadsr.files import digest_files, digest_json
from tadsr.plan import recipes
from tadsr.plan.estimates import CPU_CORE_FLOPS, TYPICAL_SIDE, Estimates, image_count
from tadsr.plan.job import COMPUTING as COMPUTING
from tadsr.plan.job import STAGES as STAGES
from tadsr.plan.job import Job as Job
from tadsr.plan.resources import stage_resources
from tadsr.plan.sources import REFERENCE, model_stamp, source_stamp
from tadsr.plan.sweep_jobs import sweep_jobs

STORED = "grey HR with one channel"
"""How data sets are stored. Another way is another job, which stores the same pixels again, but no
other recipe: what is made from them stays."""

SECONDS_PER_SCORED_IMAGE = 0.3
"""Of all metrics on one image of 256x256, one laptop core."""

WORTH_TWO_WORKERS = 60.0
"""Estimated seconds of work from which an evaluation takes two cores; below, most of its time is
the start of its process, which takes one, and the other is better used by another job."""


class Plan:
    """All jobs of an experiment and all places below its results folder."""

    def __init__(self, experiment: Experiment, root: Path, argument: str = "") -> None:
        self.experiment = experiment
        self.root = root
        self.argument = argument
        """The experiment as a stage command takes it."""
        self.jobs: dict[str, Job] = {job.id: job for job in _jobs(experiment)}
        self.resources = stage_resources(experiment, self.jobs.values())
        """By stage, what a scheduler is asked for."""

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
        there = next(place for place in (root, *root.parents) if place.exists())
        if not there.is_dir():
            raise ConfigError(f"--results: {there} is no folder; choose another place")
        return cls(experiment, root, str(path))

    def stage(self, stage: str) -> list[Job]:
        """The jobs of a stage, in the order of the experiment file."""
        return [job for job in self.jobs.values() if job.stage == stage]

    def receipt(self, job_id: str) -> Path:
        """Where a job's receipt lies, its last output."""
        return self.root / f"jobs/{job_id}.json"

    def output(self, job_id: str) -> Path:
        """What the rules wait for: the receipt, or for the report the page itself."""
        return self.root / "report/index.html" if job_id == "report" else self.receipt(job_id)

    def log(self, job_id: str) -> Path:
        """Where a job's output goes."""
        return self.root / f"logs/{job_id}.log"

    def progress(self, job_id: str) -> Path:
        """Where a running job says how far it is."""
        return self.root / f"logs/{job_id}.progress.json"

    def timing(self, job_id: str) -> Path:
        """Where a job that ended well says how long it took."""
        return self.root / "logs" / f"{job_id}.time.json"

    def dataset(self, name: str) -> Path:
        """A data set's folder."""
        return self.root / "data" / name

    @property
    def teacher(self) -> Path:
        """The teacher's run folder."""
        return self.root / "teacher"

    def teacher_weights(self) -> list[tuple[str, str]]:
        """(role, name in the weights catalogue or path) of what the teacher is made from."""
        spec = self.experiment.teacher
        found = [("denoiser", spec.weights), ("codec", spec.codec.weights)]
        if spec.imported and "/" in (spec.weights or ""):
            found = [("pipeline", spec.weights)]
        return [(role, name) for role, name in found if name is not None]

    def model_weights(self) -> list[str]:
        """Names of the published weights that teacher and evaluated models need."""
        models = [name for name in self.experiment.evaluation.models if name in PUBLISHED]
        names = [name for _, name in self.teacher_weights() if "/" not in name]
        names += [weights for name in models for weights in (name, PUBLISHED[name].codec)]
        return list(dict.fromkeys(names))

    def pool(self, cell: Cell) -> Path:
        """The target pool a cell learns from."""
        return self.root / "targets" / recipes.pool_name(self.experiment, cell.targets)

    def sweep(self, name: str) -> Path:
        """The folder of a hyper-parameter search."""
        return self.root / "sweeps" / name

    def targets(self, pool: str) -> TargetsSpec:
        """The settings of a pool, by its name."""
        for cell in self.experiment.learners():
            if recipes.pool_name(self.experiment, cell.targets) == pool:
                return cell.targets
        raise TadsrError(f"{pool}: no variant uses this target pool; run `tadsr run` again")

    def recipe_digest(self, run: str) -> str:
        """The digest of the recipe that belongs in a run folder, named from the results folder."""
        stage, _, name = run.partition("/")
        if stage == "data":
            return recipes.dataset(self.experiment, self.experiment.data.all()[name]).digest
        if stage == "targets":
            return recipes.pool(self.experiment, self.targets(name)).digest
        if stage == "sweeps":
            return recipes.sweep(self.experiment, name).digest
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
    estimates = Estimates(experiment)
    jobs = [_data_job(experiment), _weights_job(experiment), _teacher_job(estimates)]
    jobs += _target_jobs(estimates)
    jobs += sweep_jobs(estimates)
    students = _student_jobs(estimates)
    evaluations = _evaluate_jobs(estimates, students)
    jobs += [*students, *evaluations, *_closing_jobs(experiment, evaluations)]
    return jobs


def _data_job(experiment: Experiment) -> Job:
    sets = experiment.data.all()
    stamps = {path: source_stamp(path) for path in {s.path for s in sets.values()}}
    digest = digest_json(
        {
            name: [
                STORED,
                recipes.dataset(experiment, s).digest,
                s.model_dump(mode="json"),
                stamps[s.path],
            ]
            for name, s in sets.items()
        }
    )
    return Job("data", "data", tuple(sets), (), digest, start=5 + len(sets))


def _weights_job(experiment: Experiment) -> Job:
    specs = [spec for name in experiment.sweeps for spec in experiment.search_metrics(name)]
    specs += experiment.metrics()
    names = sorted({name for spec in specs for name in spec.weights})
    return Job("weights", "weights", tuple(names), (), digest_json(names), start=1)


def _teacher_job(estimates: Estimates) -> Job:
    experiment = estimates.experiment
    training = experiment.teacher.training
    images = 0 if experiment.teacher.imported else training.images
    return Job("teacher", "teacher", ("teacher",), ("data",), recipes.teacher(experiment).digest,
               training.threads, flops=images * estimates.teacher_image())  # fmt: skip


def _target_jobs(estimates: Estimates) -> list[Job]:
    experiment = estimates.experiment
    found: dict[str, Job] = {}
    for targets in dict.fromkeys(cell.targets for cell in experiment.learners()):
        name = recipes.pool_name(experiment, targets)
        found[name] = Job(
            "targets", name, (name,), ("teacher",), recipes.pool(experiment, targets).digest,
            targets.threads, flops=(targets.stored_pairs + targets.val_pairs) * estimates.answer(),
        )  # fmt: skip
    return list(found.values())


def _student_jobs(estimates: Estimates) -> list[Job]:
    experiment = estimates.experiment
    jobs = []
    for variant in experiment.variants:
        cells = [experiment.cell(variant, seed) for seed in experiment.seeds]
        for name, group in _grouped(experiment, variant, cells):
            pools = sorted({recipes.pool_name(experiment, cell.targets) for cell in group})
            digest = digest_json([recipes.of_cell(experiment, cell.name).digest for cell in group])
            training = group[0].student.training
            images = len(group) * training.images
            flops = images * estimates.student_image(group[0].student, group[0].targets)
            inputs = [f"targets/{pool}" for pool in pools]
            inputs += [f"sweep/{cell.pick.sweep}" for cell in group[:1] if cell.pick]
            jobs.append(Job("student", name, tuple(c.name for c in group), tuple(inputs), digest,
                            training.threads, flops=flops))  # fmt: skip
    return jobs


def _grouped(
    experiment: Experiment, variant: str, cells: list[Cell]
) -> list[tuple[str, list[Cell]]]:
    if experiment.execution.cells_per_job == "cell":
        return [(f"{variant}--seed-{cell.seed}", [cell]) for cell in cells]
    return [(variant, cells)]


def _evaluate_jobs(estimates: Estimates, students: list[Job]) -> list[Job]:
    """One process per student job, and one for all models that are not students."""
    common = ("data", "weights")
    jobs = []
    models = estimates.experiment.evaluation.models
    if models:
        needs_teacher = any(model.startswith("teacher-") for model in models)
        inputs = (*common, "teacher") if needs_teacher else common
        jobs.append(_evaluate_job(estimates, "baselines", models, inputs))
    for job in students:
        jobs.append(_evaluate_job(estimates, job.name, job.cells, (*common, job.id)))
    return jobs


def _evaluate_job(estimates: Estimates, name: str, upscalers: tuple[str, ...],
                  inputs: tuple[str, ...]) -> Job:  # fmt: skip
    experiment = estimates.experiment
    tests = experiment.data.test
    asked = {
        "metrics": recipes.metrics(experiment.metrics()),
        "evaluations": [recipes.evaluation(experiment, upscaler, test).digest
                        for upscaler in upscalers
                        for test in experiment.evaluation.test_sets(upscaler, tests)],
        "datasets": list(tests),
        "upscalers": list(upscalers),
        "cost": experiment.evaluation.cost.model_dump(mode="json"),
    }  # fmt: skip
    stamps = {name: model_stamp(experiment, name) for name in upscalers}
    if any(stamps.values()):  # of what users bring: a change of it is noticed by them alone
        asked["stamps"] = {name: stamp for name, stamp in stamps.items() if stamp}
    digest = digest_json(asked)
    counts = [image_count(spec) for spec in tests.values()]
    sides = [spec.size or TYPICAL_SIDE for spec in tests.values()]
    pixels = sum(count * side**2 for count, side in zip(counts, sides, strict=True))
    flops = sum(estimates.upscaler(name, pixels) for name in upscalers)
    scoring = SECONDS_PER_SCORED_IMAGE * len(upscalers) * sum(counts)
    workers = experiment.execution.evaluation_workers
    if workers is None:
        workers = 2 if scoring + flops / CPU_CORE_FLOPS >= WORTH_TWO_WORKERS else 1
    threads = workers * experiment.evaluation.threads
    flops += _cost_flops(estimates, upscalers)  # one measurement at a time
    return Job("evaluate", name, upscalers, inputs, digest, threads, 8 + scoring, flops)


def _cost_flops(estimates: Estimates, upscalers: tuple[str, ...]) -> float:
    """Of measuring what models cost; of the students, one is measured."""
    experiment = estimates.experiment
    spec = experiment.evaluation.cost
    student = f"{experiment.reference}/seed-{experiment.seeds[0]}"
    measured = [name for name in upscalers
                if experiment.evaluation.kind(name) != "student" or name == student]  # fmt: skip
    pixels = [(experiment.data.scale * side) ** 2 for side in spec.sizes]
    runs = [estimates.upscaler(name, float(count)) for name in measured for count in pixels]
    return sum(flops * spec.expected_runs(flops / CPU_CORE_FLOPS) for flops in runs)


def _closing_jobs(experiment: Experiment, evaluations: list[Job]) -> list[Job]:
    question = {
        "version": recipes.STAGE_VERSIONS["compare"],
        "reference": experiment.reference,
        "primary": [endpoint.model_dump() for endpoint in experiment.primary],
        "variants": list(experiment.variants),
        "metrics": [spec.id for spec in experiment.metrics()],
        "jobs": [job.digest for job in evaluations],
    }
    if experiment.grid:
        question["grid"] = experiment.grid.model_dump(mode="json")
    if experiment.sweeps:
        question["sweeps"] = [recipes.sweep(experiment, n).digest for n in experiment.sweeps]
    searches = [f"sweep/{name}" for name in experiment.sweeps]
    compare = Job("compare", "compare", (), (*(job.id for job in evaluations), *searches),
                  digest_json(question), start=6)  # fmt: skip
    shown = {
        "version": recipes.STAGE_VERSIONS["report"],
        "compare": compare.digest,
        "settings": experiment.model_dump(mode="json", exclude={"execution"}),
        "published": digest_files(REFERENCE, ("*.csv",)),
    }
    report = Job("report", "report", (), ("compare", *searches), digest_json(shown), start=12)
    publish = Job("publish", "publish", (), ("report",), report.digest, start=10)
    return [compare, report, publish]
