"""The command line: `tadsr <command>`; a table of contents of `tadsr.commands`."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import NoReturn

from tadsr import __version__
from tadsr.errors import ConfigError, TadsrError, storage_error
from tadsr.signals import ended_by_signals

COMMANDS = {
    "run": "the whole experiment, from data to report",
    "plan": "the jobs of an experiment and what they will cost",
    "status": "where each cell of the grid stands",
    "doctor": "what would go wrong here, and what to do about it",
    "schema": "the experiment file's schema, or every default",
    "data": "stage: make the data sets",
    "weights": "metric weights: list, fetch, check",
    "teacher": "stage: train the teacher",
    "targets": "stage: store the teacher's answers",
    "sweep": "stage: search hyper-parameters on validation images",
    "student": "stage: distil the students of a job",
    "loss": "hold a loss of your own against what the training relies on",
    "metric": "hold a metric of your own against what an evaluation relies on",
    "evaluate": "stage: upscale the test sets and measure",
    "compare": "stage: statistics and verdicts",
    "report": "stage: tables, figures and the HTML page",
    "publish": "stage: write everything to MLflow",
    "merge": "one results folder out of those of several machines",
    "verify": "every digest from the experiment file to the figures, computed again",
    "upscale": "pictures of your own, enlarged with a trained model",
}
"""In the order of the data's way."""


NESTED = ("weights",)
"""Commands that have commands of their own."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all errors here."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see `{self.prog} --help`)")


def build_parser(
    command: str | None,
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """The parser, and that of `command`, the only module imported: start-up stays fast."""
    parser = _Parser(
        prog="tadsr",
        description="Ablation and benchmark suite for one-step diffusion super-resolution.",
    )
    parser.add_argument("--version", action="version", version=f"tadsr {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        if name == command:
            importlib.import_module(f"tadsr.commands.{name}").add_arguments(sub)
    return parser, subparsers.choices.get(command or "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on stderr and a non-zero exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((a for a in arguments if not a.startswith("-")), None)
    _set_environment()
    _print_anything()
    try:
        # `tadsr run` holds nothing that the kernel does not let go of, and its jobs live on.
        with nullcontext() if command == "run" else ended_by_signals():
            return _run(command, arguments)
    except TadsrError as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("tadsr: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if refused := storage_error(error, f"tadsr {command}"):
            return _fail(refused)
        raise


def _run(command: str | None, arguments: Sequence[str]) -> int:
    parser, of_command = build_parser(command)
    if command == "run":
        known, extra = parser.parse_known_args(arguments)
        known.snakemake = extra
    elif of_command is None or command in NESTED or arguments[0] != command:
        known = parser.parse_args(arguments)
    else:
        known = of_command.parse_intermixed_args(arguments[1:])  # flags may stand anywhere
    module = importlib.import_module(f"tadsr.commands.{command}")
    code = int(module.run(known))
    if sys.stdout is not None:  # closed, as by `>&-`
        sys.stdout.flush()  # here, where a disk that is full can still be told of
    return code


def _fail(error: TadsrError) -> int:
    # Where the output goes to the disk that is full, the exit code alone can tell.
    with suppress(OSError):
        print(f"tadsr: error: {printable(str(error))}", file=sys.stderr, flush=True)
    return error.exit_code


def printable(text: str) -> str:
    """`text` on one line, without what would command a terminal: names come from outside too."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _print_anything() -> None:
    """Show ? for what the terminal's encoding lacks, such as a mark of `tadsr status`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _set_environment() -> None:
    """Before any library is imported: threads that spin for a moment only, no idle notices."""
    # GNU OpenMP's threads spin for long before they sleep, and a training on all cores becomes
    # many times slower as soon as anything else runs beside it; without any spinning it is slower
    # on an idle machine (benchmarks/thread_waiting.py).
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for library in ("diffusers", "bitsandbytes"):
        logging.getLogger(library).setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
