"""`tadsr schema`: what an experiment file may hold."""

from __future__ import annotations

import argparse
import json

import yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--defaults", action="store_true",
                        help="every setting with its default, as YAML")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the JSON schema, or the defaults of everything that has one."""
    from tadsr.config.experiment import Experiment

    if not args.defaults:
        print(json.dumps(Experiment.model_json_schema(), indent=2))
        return 0
    example = {
        "name": "my-experiment",
        "data": {"test": {"photos-bicubic": {"split": "test", "degradation": "bicubic"}}},
    }
    defaults = Experiment.model_validate_json(json.dumps(example)).model_dump(mode="json")
    defaults["variants"] = list(defaults["variants"])
    print(yaml.safe_dump(defaults, sort_keys=False, width=100), end="")
    return 0
