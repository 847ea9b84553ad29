"""`tadsr loss`: hold a loss of one's own against what the training relies on."""

from __future__ import annotations

import argparse

from tadsr.commands.common import show_clauses
from tadsr.config import Experiment
from tadsr.config.documents import read_setting
from tadsr.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", help="a Python file with a class Loss (docs/losses.md)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="a setting of its Config")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print one line per clause; a broken one is an error."""
    settings = dict(read_setting(text, "power=2") for text in args.settings)
    from tadsr.distillation.contract import check_file

    show_clauses(args.file, check_file(args.file, settings))
    return 0


def require_losses(experiment: Experiment) -> None:
    """Load every loss of one's own, so that a mistake in one shows before hours of training.

    Raises:
        ConfigError: naming the variant and the file.
    """
    for variant in experiment.variants:
        custom = experiment.cell(variant, experiment.seeds[0]).student.losses.custom
        for name, spec in custom.items():
            from tadsr.distillation.losses.custom import load_loss

            try:
                load_loss(spec)
            except ConfigError as error:
                raise ConfigError(f"variant '{variant}': loss '{name}': {error}") from error
