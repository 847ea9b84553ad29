"""`tadsr plan`: the jobs of an experiment and what they will take, before anything is started."""

from __future__ import annotations

import argparse
import math

from tadsr.commands.common import add_experiment_arguments, load_plan
from tadsr.config.experiment import Cell
from tadsr.config.student import TargetsSpec, TrainingSpec
from tadsr.plan import Plan
from tadsr.plan.estimates import (
    CPU_CORE_FLOPS,
    GPU_FLOPS,
    TYPICAL_COUNT,
    Estimates,
    at_once,
    image_count,
    told_count,
)
from tadsr.plan.jobs import STAGES
from tadsr.plan.sources import absence
from tadsr.plan.sweep_jobs import trials
from tadsr.runs.progress import duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser)
    parser.add_argument("--tflops", type=speed, default=GPU_FLOPS / 1e12, metavar="N",
                        help="TFLOP/s that your GPU sustains (default: %(default).0f)")  # fmt: skip


def speed(text: str) -> float:
    """A number above 0, as a command-line argument."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return number


def run(args: argparse.Namespace) -> int:
    """Print jobs and rough costs per stage, then steps, targets, memory and disk."""
    plan = load_plan(args)
    print(f"experiment {plan.experiment.name}: {len(plan.jobs)} jobs, results in {plan.root}")
    for line in (*stage_table(plan, args.tflops), *training_lines(plan), *target_lines(plan),
                 *sweep_lines(plan),
                 *memory_lines(plan), *disk_lines(plan), *resource_lines(plan),
                 *weight_lines(plan), *model_lines(plan)):  # fmt: skip
        print(line)
    return 0


def stage_table(plan: Plan, tflops: float) -> list[str]:
    """A line per stage: jobs, cells, operations, and the time these take."""
    lines = [
        f"{'stage':10} {'jobs':>5} {'cells':>6} {'TFLOP':>10} {'core-hours':>11} {'GPU-hours':>10}"
    ]
    total = [0.0, 0.0, 0.0]
    for stage in STAGES:
        jobs = plan.stage(stage)
        cells = sum(len(job.cells) for job in jobs)
        flops = sum(job.flops for job in jobs)
        sums = flops / 1e12, sum(job.cost for job in jobs) / 3600, flops / tflops / 3.6e15
        total = [a + b for a, b in zip(total, sums, strict=True)]
        lines.append(f"{stage:10} {len(jobs):5} {cells:6} {_figures(*sums)}")
    lines.append(f"{'all':10} {len(plan.jobs):5} {'':6} {_figures(*total)}")
    note = (f"rough: networks at {CPU_CORE_FLOPS / 1e12:g} TFLOP/s a CPU core, {tflops:g} a GPU "
            "(float32, sustained; see --tflops)")  # fmt: skip
    return [*lines, note]


def training_lines(plan: Plan) -> list[str]:
    """The length of the trainings."""
    experiment = plan.experiment
    lines = []
    if not experiment.teacher.imported:
        lines.append(f"teacher: {_length(experiment.teacher.training)}")
    lengths = {variant: _length(cell.student.training) for variant, cell in _cells(plan).items()}
    for length in dict.fromkeys(lengths.values()):
        variants = [variant for variant in lengths if lengths[variant] == length]
        who = "each student" if len(variants) == len(lengths) else ", ".join(variants)
        lines.append(f"{who}: {length}")
    return lines


def sweep_lines(plan: Plan) -> list[str]:
    """One line per search."""
    lines = []
    for name, spec in plan.experiment.sweeps.items():
        trial, hours = trials(plan.experiment, name), spec.budget.hours
        ends = f"{hours:g} hours" if hours and not spec.budget.trials else f"{trial} trials"
        length = _length(plan.experiment.search_cell(name).student.training)
        lines.append(
            f"sweep {name}: {ends} by {spec.workers} workers, each trial at most {length}; "
            f"{len(spec.picks) * len(plan.experiment.seeds)} students confirm it"
        )
    return lines


def target_lines(plan: Plan) -> list[str]:
    """One line per pool: its size, and how often a student's training uses each pair."""
    estimates = Estimates(plan.experiment)
    lines = []
    for job in plan.stage("targets"):
        spec = plan.targets(job.name)
        disk = _bytes((spec.stored_pairs + spec.val_pairs) * estimates.pair_bytes(spec))
        lines.append(
            f"pool {job.name}: {spec.pairs} pairs {spec.mode} ({disk} on disk), "
            f"each used {_uses(plan, spec)} times by a student"
        )
        if not spec.stored_pairs:
            whole = _bytes(spec.pairs * estimates.pair_bytes(spec))
            lines.append(f"  stored, they would take {whole}")
    return lines


def _uses(plan: Plan, spec: TargetsSpec) -> str:
    """How often a student that learns from a pool meets each pair; a range if they differ."""
    images = [c.student.training.images for c in plan.experiment.cells() if c.targets == spec]
    uses = dict.fromkeys(f"{count / spec.pairs:.1f}" for count in (min(images), max(images)))
    return " to ".join(uses)


def memory_lines(plan: Plan) -> list[str]:
    """What the most demanding student needs while it is trained."""
    estimates = Estimates(plan.experiment)
    network = estimates.network
    lines = [f"network: {network.parameters / 1e6:.1f} M parameters, {network.forward / 1e9:.2f} "
             f"GFLOP a forward pass on a {estimates.side}x{estimates.side} latent"]  # fmt: skip
    students = {variant: cell.student for variant, cell in _cells(plan).items()}
    needs = {
        variant: estimates.student_memory(student, at_once(student.training))
        for variant, student in students.items()
    }
    variant, (fixed, activations) = max(needs.items(), key=lambda item: sum(item[1]))
    batch = at_once(students[variant].training)
    lines.append(
        f"memory: about {_bytes(fixed + activations)} for '{variant}', the most demanding "
        f"(networks and optimiser {_bytes(fixed)}, activations of {batch} images "
        f"{_bytes(activations)}, float32)"
    )
    return lines


def disk_lines(plan: Plan) -> list[str]:
    """What results will take."""
    estimates = Estimates(plan.experiment)
    seeds = len(plan.experiment.seeds)
    students = seeds * sum(estimates.student_disk(c.student) for c in _cells(plan).values())
    tests = plan.experiment.data.test
    images = sum(image_count(spec) for spec in tests.values())
    upscalers = sum(len(job.cells) for job in plan.stage("evaluate"))
    guessed = any(told_count(spec) is None for spec in tests.values())
    assumed = f" (with {TYPICAL_COUNT} in each set whose number no setting tells)"
    return [
        f"disk: students {_bytes(students)} (models and resume states); "
        f"{images} test images{assumed if guessed else ''} x {upscalers} models, about "
        f"{_bytes(images * upscalers * 1.2e5)} at 256x256"
    ]


def resource_lines(plan: Plan) -> list[str]:
    """What a cluster is asked for; a line for the stages that ask for the same."""
    asked: dict[str, list[str]] = {}
    for stage, needs in plan.resources.items():
        gpus = f", {needs.gpu} GPU" if needs.gpu else ""
        text = f"{_bytes(needs.mem_mb * 1e6)}, {duration(60 * needs.runtime)}{gpus}"
        asked.setdefault(text, []).append(stage)
    lines = [f"  {', '.join(stages)}: {text}" for text, stages in asked.items()]
    return ["a job asks a cluster for (twice as much at each retry, see docs/cluster.md):", *lines]


def weight_lines(plan: Plan) -> list[str]:
    """The published weights that have to be here."""
    from tadsr.weights import Missing, status

    names = plan.model_weights()
    states = [f"{n} ({'missing' if isinstance(status(n), Missing) else 'here'})" for n in names]
    return [f"published weights: {', '.join(states)}"] if names else []


def model_lines(plan: Plan) -> list[str]:
    """Which of the user's own models are here, and which are explained but not in the table."""
    experiment = plan.experiment
    models = experiment.evaluation
    brought = [*models.pipelines, *models.checkpoints, *models.images]
    shown = [name for name in models.models if name in brought]
    states = [f"{n} ({'missing' if absence(experiment, n) else 'here'})" for n in shown]
    lines = [f"models of your own: {', '.join(states)}"] if states else []
    unused = [name for name in brought if name not in shown]
    if unused:
        lines.append(f"not in evaluation.models, so in no table: {', '.join(unused)}")
    return lines


def _cells(plan: Plan) -> dict[str, Cell]:
    """The first cell of each variant."""
    experiment = plan.experiment
    return {name: experiment.cell(name, experiment.seeds[0]) for name in experiment.variants}


def _length(training: TrainingSpec) -> str:
    images, batch = training.images, training.batch_size
    return f"{-(-images // batch)} steps of {batch} images"


def _figures(tflop: float, core_hours: float, gpu_hours: float) -> str:
    return f"{tflop:10.3g} {core_hours:11.3g} {gpu_hours:10.3g}"


def _bytes(count: float) -> str:
    """Bytes in a unit that suits them."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
