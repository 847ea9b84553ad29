"""`tadsr weights`: what metrics and models need, whether it is here, and how to get and use it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.config.documents import read_setting
from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.plan import Plan

if TYPE_CHECKING:
    from tadsr.weights import Missing, Present, WeightFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    sub = parser.add_subparsers(dest="action", metavar="action", required=True)
    sub.add_parser("list", help="every file of the catalogue, and whether it is here")
    fetch = sub.add_parser("fetch", help="download files by name (default: all of the metrics)")
    fetch.add_argument("names", nargs="*")
    verify = sub.add_parser("verify", help="compare what is here with the known digests")
    verify.add_argument("names", nargs="*")
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
    """Print a line per file: what is known of its hash, and whether it is here."""
    from tadsr.weights import CATALOG, Present, status, weights_home

    print(f"weights in {weights_home()}")
    for name, entry in CATALOG.items():
        found = status(name)
        place = f"here: {found.path}" if isinstance(found, Present) else f"missing: {found.reason}"
        print(f"{name:26} {hash_words(entry, found):34} {place}")
    return 0


def hash_words(entry: WeightFile, found: Present | Missing) -> str:
    """What is known of a file's sha256."""
    recorded = getattr(found, "recorded", None)
    if recorded:
        return f"sha256 recorded here {recorded}"
    if entry.sha256 is None:
        return "official sha256 unknown"
    return (
        "sha256 known"
        if len(entry.sha256) == 64
        else f"sha256 known by its first {len(entry.sha256)}"
    )


def fetch_weights(args: argparse.Namespace) -> int:
    """Fetch the named files; exit code 1 if one could not be had."""
    from tadsr.weights import METRIC_WEIGHTS, Present, canonical_name, fetch

    names = [canonical_name(name) for name in args.names] or list(METRIC_WEIGHTS)
    found = fetch(names, progress=DownloadProgress(), force=True)
    for name, state in found.items():
        print(f"{name}: {'here: ' + str(state.path) if isinstance(state, Present) else state}")
    missing = [name for name, state in found.items() if not isinstance(state, Present)]
    if missing:
        raise TadsrError(f"could not be had: {', '.join(missing)} (see above)")
    return 0


def verify_weights(args: argparse.Namespace) -> int:
    """Digest anew what is here; exit code 1 if something is not what it should be."""
    from tadsr.weights import CATALOG, Present, canonical_name, status, verify

    names = [canonical_name(name) for name in args.names] or list(CATALOG)
    wrong = verify(names)
    for name in names:
        found = status(name)
        if name in wrong:
            print(f"{name}: WRONG: {wrong[name]}")
        elif isinstance(found, Present):
            known = found.verified or found.recorded
            words = f"{hash_words(CATALOG[name], found)}, and this is it"
            print(f"{name}: {words if known else 'here, nothing to compare with'}")
        elif args.names:
            print(f"{name}: {found.reason}")
    if wrong:
        raise TadsrError(
            f"not what they should be: {', '.join(wrong)}; delete and fetch them again"
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
