"""`tadsr weights`: what metrics and models need, whether it is here, and how to get and use it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.commands.weights_words import (
    asked,
    file_state,
    file_verdicts,
    hash_words,
    metric_state,
    metric_verdict,
    size_words,
)
from tadsr.config.documents import read_setting
from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    sub = parser.add_subparsers(dest="action", metavar="action", required=True)
    sub.add_parser("list", help="what each metric needs, every file, and whether it is here")
    fetch = sub.add_parser("fetch", help="download files (default: all that metrics need)")
    fetch.add_argument("names", nargs="*", help="of metrics, or of files")
    verify = sub.add_parser("verify", help="are the tensors and files the published ones?")
    verify.add_argument("names", nargs="*", help="of metrics, or of files (default: all)")
    _add_import(sub.add_parser("import", help="a published checkpoint to a diffusers folder"))
    _add_pipeline(sub.add_parser("pipeline", help="a whole pipeline from published weights"))
    check = sub.add_parser("check", help="stage: record what an experiment's metrics have")
    add_job_arguments(check, named=False)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", required=True, choices=("swin-unet", "vq"))
    parser.add_argument("source", help="a checkpoint, or a name of the catalogue that is here")
    parser.add_argument("dest", help="a new folder")
    _add_weights_choice(parser)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="a setting of the network that the shapes do not tell")  # fmt: skip


def _add_pipeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a published model, such as sinsr-v1")
    parser.add_argument("dest", help="a new folder, for `tadsr upscale --model` and experiments")
    parser.add_argument("--unet", help="denoiser: checkpoint, imported folder, or name")
    parser.add_argument("--codec", help="codec: checkpoint, imported folder, or name")
    parser.add_argument("--schedule", metavar="NAME",
                        help="the published model whose schedule and scale to use")  # fmt: skip
    _add_weights_choice(parser)


def _add_weights_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="auto", choices=("auto", "raw", "ema"),
                        help="of a file that holds both (default: the average)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    actions = {
        "list": list_weights, "fetch": fetch_weights, "verify": verify_weights,
        "import": import_weights, "pipeline": make_pipeline, "check": check_weights,
    }  # fmt: skip
    return actions[args.action](args)


def list_weights(args: argparse.Namespace) -> int:
    """Print a line per metric and per file: what is needed, whether it is here, and right."""
    from tadsr.config.metrics import METRICS
    from tadsr.weights import CATALOG, status, weights_home

    print(f"weights in {weights_home()}\n\nmetric     needs")
    for name, spec in METRICS.items():
        print(f"{name:10} {', '.join(spec.weights) or 'nothing':31} {metric_state(spec)}")
    print("\nfile                       size         what is known of it")
    for name, entry in CATALOG.items():
        known = hash_words(entry, status(name))
        print(f"{name:26} {size_words(entry):12} {known:28} {file_state(name)}")
    return 0


def fetch_weights(args: argparse.Namespace) -> int:
    """Fetch what is named, files or metrics; exit code 1 if something could not be had.

    What new files a metric then computes with is looked at once, so that it stands on record.
    """
    from tadsr.weights import METRIC_WEIGHTS, Present, fetch, status

    files = asked(args.names)[1] if args.names else list(METRIC_WEIGHTS)
    before = {name for name in files if isinstance(status(name), Present)}
    found = fetch(files, progress=DownloadProgress(), force=True)
    for name, state in found.items():
        print(f"{name}: {'here: ' + str(state.path) if isinstance(state, Present) else state}")
    here = {name for name, state in found.items() if isinstance(state, Present)}
    for spec in asked(here - before)[0] if here - before else []:
        if all(isinstance(status(name), Present) for name in spec.weights):
            print(f"{spec.id}: {metric_verdict(spec).words}")
    if missing := [name for name in found if name not in here]:
        raise TadsrError(f"could not be had: {', '.join(missing)} (see above)")
    return 0


def verify_weights(args: argparse.Namespace) -> int:
    """Look anew at what is here, tensors and files; exit code 1 if something is not right."""
    specs, names = asked(args.names)
    print("metrics, by the tensors they compute with", flush=True)
    metrics = []
    for spec in specs:
        metrics.append(metric_verdict(spec))
        print(f"  {metrics[-1].name}: {metrics[-1].words}", flush=True)
    print("files, by their sha256", flush=True)
    files = list(file_verdicts(names, metrics))
    absent = [verdict for verdict in files if verdict.words == "not here" and not args.names]
    for verdict in files:
        if verdict not in absent:
            print(f"  {verdict.name}: {verdict.words}")
    if absent:
        print(f"  not here: {', '.join(verdict.name for verdict in absent)}")
    if wrong := [verdict.name for verdict in (*metrics, *files) if not verdict.right]:
        raise TadsrError(
            f"not what they should be: {', '.join(dict.fromkeys(wrong))}; delete the files and "
            "fetch them again"
        )
    return 0


def import_weights(args: argparse.Namespace) -> int:
    """Import one checkpoint and say what it was."""
    from tadsr.models.published import import_checkpoint
    from tadsr.pipeline.published import find_weights

    overrides = dict(read_setting(text, "sample_size=64") for text in args.settings)
    done = import_checkpoint(
        args.kind, find_weights(args.source), args.dest,
        weights=args.weights, overrides=overrides,
    )  # fmt: skip
    left = f"; left aside: {', '.join(done['ignored'])}" if done["ignored"] else ""
    print(
        f"{done['dest']}: {done['parameters'] / 1e6:.2f} M parameters, {done['weights']} weights, "
        f"sha256 of the file {done['sha256'][:12]}, of the tensors "
        f"{done['tensors_sha256'][:12]}{left}"
    )
    print(json.dumps(done["config"], default=str))
    return 0


def make_pipeline(args: argparse.Namespace) -> int:
    """Write a pipeline that upscales, from published weights."""
    from tadsr.config.published import PUBLISHED
    from tadsr.weights import canonical_name

    schedule = canonical_name(args.schedule or args.name or "")
    parts = (args.unet, args.codec, args.schedule)
    if bool(args.name) == any(parts) or (any(parts) and not all((args.unet, args.schedule))):
        raise ConfigError(
            "tadsr weights pipeline: give either the NAME of a published model, or --unet and "
            "--schedule (and --codec)"
        )
    if schedule not in PUBLISHED:
        known = nearest(schedule, list(PUBLISHED))
        raise ConfigError(f"tadsr weights pipeline: no published model '{schedule}': {known}")
    dest = Path(args.dest)
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise ConfigError(f"{dest}: is in use; name a new folder, or delete this one first")
    from tadsr.pipeline.published import assemble
    from tadsr.training.models import save_pipeline

    model = PUBLISHED[schedule]
    pipeline = assemble(args.unet or schedule, args.codec or model.codec, model.schedule,
                        model.scale, weights=args.weights)  # fmt: skip
    save_pipeline(pipeline, dest)
    print(f"{dest}: runs in {model.steps} step{'s' * (model.steps > 1)}, scale {model.scale}; "
          f"tadsr upscale IN OUT --model {dest}")  # fmt: skip
    return 0


def check_weights(args: argparse.Namespace) -> int:
    """Write the receipt of what is here; offline."""
    plan = load_plan(args)
    for job in selected_jobs(plan, args, "weights"):
        with job_context(plan, job) as context:
            for name, (state, digest) in weights_state(plan).items():
                context.record(name, state, digest)
                print(f"weights {name}: {state}", flush=True)
    return 0


def weights_state(plan: Plan) -> dict[str, tuple[str, str]]:
    """Name to (here or missing, file digest) of each file the experiment's metrics need."""
    from tadsr.files import sha256_file
    from tadsr.weights import Present, status

    state = {}
    for name in plan.jobs["weights"].cells:
        found = status(name)
        if isinstance(found, Present):
            state[name] = ("here", sha256_file(found.path))
        else:
            state[name] = ("missing", "")
    return state


class DownloadProgress:
    """Prints a line per download every two seconds, and at its end."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Called with bytes so far and bytes in all, if known."""
        now = time.monotonic()
        if now - self._last < 2.0 and done != total:
            return
        self._last = now
        of_all = f" of {total / 1e6:.1f}" if total else ""
        print(f"  {name}: {done / 1e6:.1f}{of_all} MB", flush=True)
