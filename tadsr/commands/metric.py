"""`tadsr metric`: hold a metric of one's own against what an evaluation relies on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tadsr.commands.common import show_clauses
from tadsr.config import Experiment
from tadsr.config.documents import read_setting
from tadsr.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", help="a Python file with a class Metric (docs/metrics.md)")
    parser.add_argument("--better", required=True, choices=("higher", "lower"),
                        help="which numbers are better")  # fmt: skip
    parser.add_argument("--reference", action="store_true",
                        help="it needs a reference image")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="options",
                        help="an option of its Config")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print one line per clause, then the line of the experiment file; a broken one is an error."""
    options = dict(read_setting(text, "power=2") for text in args.options)
    from tadsr.metrics.contract import check_file

    higher = args.better == "higher"
    clauses = check_file(
        args.file, needs_reference=args.reference, higher_is_better=higher, options=options
    )
    show_clauses(args.file, clauses)
    if not args.reference:
        print(f"not checked: that {args.better} is better; look at images with high and low "
              "numbers", flush=True)  # fmt: skip
    shown = {
        "id": Path(args.file).stem.lower(), "file": args.file, "needs_reference": args.reference,
        "higher_is_better": higher, **({"options": options} if options else {}),
    }  # fmt: skip
    line = ", ".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in shown.items()
    )
    print(f"below evaluation.metrics, with the file as the experiment file finds it:\n"
          f"    - {{{line}}}", flush=True)  # fmt: skip
    return 0


def require_metrics(experiment: Experiment) -> None:
    """Load every metric of one's own, so that a mistake in one shows before hours of training.

    Raises:
        ConfigError: naming the metric and the file.
    """
    for spec in experiment.metrics():
        if spec.file:
            import torch

            from tadsr.metrics.custom import load_own

            try:
                load_own(spec, torch.device("cpu"))
            except ConfigError as error:
                raise ConfigError(f"metric '{spec.id}': {error}") from error
