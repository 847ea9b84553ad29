"""What pyiqa itself says of its metrics, read from its table without importing it.

Importing pyiqa imports torch; its table of metrics is a file of plain data.
"""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tadsr.errors import ConfigError, nearest

PER_SET = ("fid", "sfid", "fid_dinov2", "inception_score")
"""pyiqa's metrics that give one number per set of images; of these we compute `fid`."""

FORMULAS = (
    "psnr", "psnry", "ssim", "ssimc", "ms_ssim", "cw_ssim", "fsim", "vsi", "vif", "gmsd", "nlpd",
    "mad", "piqe", "entropy",
)  # fmt: skip
"""pyiqa's metrics without learnt weights: each loads with no file beside pyiqa itself."""


_ON_LUMA = {"vif": "yiq", "piqe": "yiq", "entropy": "yiq", "nrqm": "yiq", "pi": "ycbcr"}
"""pyiqa's metrics that take luma without an option `test_y_channel`, and which."""


@dataclass(frozen=True)
class Objection:
    """Why a metric cannot be as it is asked for; `key` is the setting at fault."""

    key: str
    text: str


@cache
def pyiqa_table() -> Mapping[str, Mapping[str, Any]]:
    """pyiqa's own table: metric to `metric_mode`, `lower_better`, `metric_opts`, ...

    Raises:
        ConfigError: pyiqa is not installed, or is another version with another table.
    """
    found = importlib.util.find_spec("pyiqa")
    folders = list(found.submodule_search_locations or ()) if found else []
    path = Path(folders[0], "default_model_configs.py") if folders else None
    if path is None or not path.is_file():
        raise ConfigError("pyiqa's table of metrics is not there; install tadsr again")
    table: Mapping[str, Mapping[str, Any]] = runpy.run_path(str(path))["DEFAULT_CONFIGS"]
    return table


def color_space_of(name: str, options: Mapping[str, Any]) -> str:
    """What of an image a metric of pyiqa looks at: `RGB`, or the `Y of` a colour space.

    pyiqa's Y is that of YIQ (0.299 R + 0.587 G + 0.114 B), unless an option says otherwise.
    """
    used = {**pyiqa_table().get(name, {}).get("metric_opts", {}), **options}
    if not used.get("test_y_channel", name in _ON_LUMA):
        return "RGB"
    space = str(used.get("color_space", _ON_LUMA.get(name, "yiq"))).lower()
    return "Y of " + {"yiq": "YIQ", "ycbcr": "YCbCr", "lhm": "LHM"}.get(space, space)


def objection(
    name: str, *, higher_is_better: bool, needs_reference: bool, per_set: bool
) -> Objection | None:
    """Where what is asked of pyiqa's metric `name` differs from what pyiqa says of it."""
    table = pyiqa_table()
    if name not in table:
        return Objection("pyiqa", f"pyiqa knows no '{name}': {nearest(name, list(table))}")
    entry = table[name]
    higher, full = not entry.get("lower_better", False), entry["metric_mode"] == "FR"
    if per_set != (name in PER_SET) or (per_set and name != "fid"):
        return Objection("pyiqa", f"pyiqa's '{name}' gives one number per set of images; ask for "
                         "'fid' or 'fid-ffhq' by name" if name in PER_SET else
                         f"pyiqa's '{name}' gives one number per image, not per set")  # fmt: skip
    if higher != higher_is_better:
        return Objection("higher_is_better", f"pyiqa's '{name}' is better when it is "
                         f"{'higher' if higher else 'lower'}; write {_yaml(higher)}")  # fmt: skip
    # pyiqa calls its FID no-reference: the reference is a set of images, ours or a stored one.
    if full != needs_reference and not per_set:
        return Objection("needs_reference", f"pyiqa's '{name}' {'needs a' if full else 'takes no'} "
                         f"reference image; write {_yaml(full)}")  # fmt: skip
    return None


def _yaml(value: bool) -> str:
    return str(value).lower()
