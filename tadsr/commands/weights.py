"""`tadsr weights`: what the metrics need, whether it is here, and how to get it."""

from __future__ import annotations

import argparse
import time

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    sub = parser.add_subparsers(dest="action", metavar="action", required=True)
    sub.add_parser("list", help="every file that a metric needs, and whether it is here")
    fetch = sub.add_parser("fetch", help="download files by name (default: all of the metrics)")
    fetch.add_argument("names", nargs="*")
    check = sub.add_parser("check", help="stage: record what an experiment's metrics have")
    add_job_arguments(check, named=False)


def run(args: argparse.Namespace) -> int:
    """List, fetch or check."""
    actions = {"list": list_weights, "fetch": fetch_weights, "check": check_weights}
    return actions[args.action](args)


def list_weights(args: argparse.Namespace) -> int:
    """Print one line per file of the catalogue."""
    from tadsr.weights import CATALOG, Present, status, weights_home

    print(f"weights in {weights_home()}")
    for name in CATALOG:
        found = status(name)
        text = f"here: {found.path}" if isinstance(found, Present) else f"missing: {found.reason}"
        print(f"{name:26} {text}")
    return 0


def fetch_weights(args: argparse.Namespace) -> int:
    """Fetch the named files; exit code 1 if one could not be had."""
    from tadsr.weights import CATALOG, METRIC_WEIGHTS, Present, canonical_name, fetch

    names = [canonical_name(name) for name in args.names]
    for name in names:
        if name not in CATALOG:
            raise ConfigError(f"tadsr weights fetch: no '{name}': {nearest(name, list(CATALOG))}")
    found = fetch(names or METRIC_WEIGHTS, progress=DownloadProgress(), force=True)
    for name, state in found.items():
        print(f"{name}: {'here: ' + str(state.path) if isinstance(state, Present) else state}")
    missing = [name for name, state in found.items() if not isinstance(state, Present)]
    if missing:
        raise TadsrError(f"could not be had: {', '.join(missing)} (see above)")
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
