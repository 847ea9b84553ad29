"""What an evaluation relies on in a metric of one's own, as checks that anyone can run on theirs.

    from tadsr.metrics.contract import check_file
    def test_my_metric():
        clauses = check_file("my_metric.py", needs_reference=False, higher_is_better=True)
        assert [clause for clause in clauses if clause.broken] == []

or, from the command line, `tadsr metric my_metric.py --better higher`.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from tadsr.config.metrics import MetricSpec
from tadsr.config.plugins import Clause
from tadsr.errors import ConfigError
from tadsr.metrics.arithmetic import exact_arithmetic
from tadsr.metrics.custom import OwnNetwork, load_own, one_number
from tadsr.seeds import torch_generator

SIDE, ODD, SMALL = 128, (97, 131), 8
"""Pixels of the made-up images: the usual ones, of an odd size, and very small ones."""


def check_file(
    path: Path | str,
    *,
    needs_reference: bool,
    higher_is_better: bool,
    options: Mapping[str, Any] | None = None,
) -> list[Clause]:
    """Check the class `Metric` of a file, as an experiment file would ask for it.

    Raises:
        ConfigError: the file cannot be loaded, or does not take the options.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a metric of one's own is a Python file")
    spec = MetricSpec(
        id="own", file=str(path), needs_reference=needs_reference,
        higher_is_better=higher_is_better, options=dict(options or {}),
    )  # fmt: skip
    return check(load_own(spec, torch.device("cpu")), needs_reference, higher_is_better)


def check(metric: OwnNetwork, needs_reference: bool, higher_is_better: bool) -> list[Clause]:
    """Check a loaded metric on made-up images; the other clauses wait for a first number."""
    call = _Caller(metric, needs_reference)
    clauses = [Clause("gives one finite number", _no_number(call, SIDE, SIDE))]
    if clauses[0].broken:
        return clauses
    clauses += [
        Clause("takes images of odd sizes", _no_number(call, *ODD)),
        Clause("same images, same number", _varies(call)),
        Clause("changes no image it is given", _changes(call)),
        Clause("tells images apart", _same_for_all(call, SIDE)),
        Clause("makes nothing up for small images", _made_up(call)),
    ]
    if needs_reference:
        clauses += [
            Clause("looks at the reference", _ignores_reference(call)),
            Clause("no distorted image is better than the reference itself",
                   _reversed(call, higher_is_better)),
        ]  # fmt: skip
    return clauses


class _Caller:
    """The metric as a function of one image and, where it needs one, its reference."""

    def __init__(self, metric: OwnNetwork, needs_reference: bool) -> None:
        self.metric, self.needs_reference = metric, needs_reference

    def __call__(self, sr: Tensor, hr: Tensor) -> float:
        with exact_arithmetic(torch.device("cpu")):
            return one_number(self.metric.call(sr, hr if self.needs_reference else None))


def made_up_image(height: int, width: int, name: str = "image") -> Tensor:
    """A picture-like image: large shapes and fine texture, (3, H, W) of 8-bit levels."""
    generator = torch_generator(0, name)
    shapes = torch.rand(1, 3, 6, 6, generator=generator)
    large = interpolate(shapes, (height, width), mode="bilinear", align_corners=False)[0]
    fine = torch.rand(3, height, width, generator=generator) - 0.5
    return _levels(0.15 + 0.7 * large + 0.15 * fine)


def distortions(image: Tensor) -> dict[str, Tensor]:
    """Worse versions of an image, by what was done to it."""
    noise = torch.randn(image.shape, generator=torch_generator(0, "noise"))
    return {
        "noise": _levels(image + 0.1 * noise),
        "blur": _levels(avg_pool2d(image[None], 5, 1, 2, count_include_pad=False)[0]),
        "a shift of brightness": _levels(image * 0.8 + 0.1),
    }


def _levels(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round() / 255


def _no_number(call: _Caller, height: int, width: int) -> str:
    hr = made_up_image(height, width)
    try:
        value = call(distortions(hr)["noise"], hr)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return f"{type(error).__name__} on an image of {width}x{height}: {error} ({where})"
    return "" if math.isfinite(value) else f"it gives {value} on an image of {width}x{height}"


def _varies(call: _Caller) -> str:
    """Called again after another image, with other states of the global generators."""
    hr = made_up_image(SIDE, SIDE)
    sr, other = distortions(hr)["noise"], made_up_image(SIDE, SIDE, "another")
    before = np.random.get_state()
    values = []
    try:
        for seed in (1, 2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                np.random.seed(seed)
                values.append(call(sr, hr))
                call(other, hr)
    finally:
        np.random.set_state(before)
    first, second = values
    return "" if first == second else f"it gives {first:.9g}, then {second:.9g}"


def _changes(call: _Caller) -> str:
    hr = made_up_image(SIDE, SIDE)
    sr = distortions(hr)["noise"]
    given = sr.clone(), hr.clone()
    call(*given)
    for name, mine, untouched in zip(("sr", "hr"), given, (sr, hr), strict=True):
        if not torch.equal(mine, untouched):
            return f"{name} was changed in place; work on a copy"
    return ""


def _same_for_all(call: _Caller, side: int) -> str:
    hr = made_up_image(side, side)
    values = {call(image, hr) for image in (hr, *distortions(hr).values())}
    return "" if len(values) > 1 else f"it gives {values.pop():.9g} for every image"


def _made_up(call: _Caller) -> str:
    """An error or NaN is an honest answer; the same number for all is none."""
    found = _or_nothing(lambda: _same_for_all(call, SMALL))
    if not found or "nan" in found:
        return ""
    return f"{found} of {SMALL}x{SMALL}; raise an error or return NaN where it is not defined"


def _or_nothing(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception:  # it refuses, and an evaluation tells so
        return ""


def _ignores_reference(call: _Caller) -> str:
    hr, other = made_up_image(SIDE, SIDE), made_up_image(SIDE, SIDE, "another")
    sr = distortions(hr)["noise"]
    same = call(sr, hr) == call(sr, other)
    return "another reference gives the same number; is it needed?" if same else ""


def _reversed(call: _Caller, higher_is_better: bool) -> str:
    hr = made_up_image(SIDE, SIDE)
    perfect = call(hr.clone(), hr)
    if math.isnan(perfect):
        return "it gives nan for an image that equals its reference"
    for name, distorted in distortions(hr).items():
        value = call(distorted, hr)
        if (value > perfect) if higher_is_better else (value < perfect):
            return (
                f"{name} gives {value:.6g}, the reference itself {perfect:.6g}; is "
                f"{'lower' if higher_is_better else 'higher'} better?"
            )
    return ""
