"""Metrics by pyiqa, in float32, never under autocast or TF32, and never with a silent download."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.config.pyiqa_table import FORMULAS, objection
from tadsr.errors import ConfigError, DataError
from tadsr.metrics.arithmetic import BandedConvolutions, exact_arithmetic, same_draws
from tadsr.metrics.card import MetricCard, make_card
from tadsr.metrics.custom import load_own
from tadsr.metrics.offline import DownloadError, no_downloads, quiet
from tadsr.metrics.sets import FEATURES, InceptionStatistics, SetMetric
from tadsr.metrics.verification import judged, remember_tensors
from tadsr.weights import Missing, Present, activate, status

_FILE_OPTION = {
    "lpips-alex": "pretrained_model_path",
    "niqe": "pretrained_model_path",
    "musiq-koniq": "pretrained_model_path",
    "clip-rn50": "backbone",
}
"""pyiqa's option that takes the path of a weight file, so that it need not look for it."""

INCEPTION, STATISTICS = "inception-fid", "ffhq-fid-stats"
"""Names in the weights catalogue: of FID's network, and of its features' moments over FFHQ."""

_SMALLEST_SIDE = {"ssim": 11, "lpips": 32, "niqe": 96, "clipiqa": 32}
"""Pixels below which a metric is not defined (its window, its receptive field, its block)."""


_DRAW_NOTHING = frozenset({*FORMULAS, *(spec.pyiqa for spec in METRICS.values())})
"""Metrics of pyiqa that take no random patches of an image, as some do."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601); they sum to 1."""

_INFINITE_WHERE_EQUAL = ("psnr", "psnry")
"""Metrics of which pyiqa gives a finite number, 80 dB, for an image that equals its reference."""


class NotComputableError(DataError):
    """A metric is not defined on this image (too small, without texture, infinite)."""


class Metric:
    """A loaded metric: `score` is a plain function of two images."""

    def __init__(
        self, spec: MetricSpec, network: torch.nn.Module, card: MetricCard, device: torch.device
    ) -> None:
        self.spec = spec
        self.card = card
        self.device = device
        self._network = network
        self._draws = bool(spec.pyiqa) and spec.pyiqa not in _DRAW_NOTHING

    def score(
        self, sr: torch.Tensor, hr: torch.Tensor | None = None, *, grey: bool | None = None
    ) -> float:
        """The metric of `sr` (3, H, W) in [0, 1], against `hr` of the same shape if it needs one.

        Where `spec.compared` is `lr`, `sr` is the image as `tadsr.evaluation.consistency` reduced
        it, and `hr` the LR input.

        `grey`: whether the reference is a grey picture (`tadsr.data.images.is_grey_file`); it must
        be said where `spec.grey` is `levels`, and is of no account elsewhere.

        Raises:
            DataError: shapes or ranges that cannot be compared, NaN, or no reference.
            NotComputableError: the metric is not defined on this image.
        """
        images = [self._prepare(sr, "image")]
        if self.spec.needs_reference:
            if hr is None:
                raise DataError(f"{self.spec.id}: needs a reference image, and there is none")
            if hr.shape != sr.shape:
                raise DataError(
                    f"{self.spec.id}: image {_size(sr)} and reference {_size(hr)} differ in size; "
                    "they must be equal"
                )
            images.append(self._prepare(hr, "reference"))
            if self.spec.grey == "levels" and grey is None:
                raise ValueError(f"{self.spec.id}: say whether the reference is a grey picture")
            if self.spec.grey == "levels" and grey:
                images = [_grey_levels(image) for image in images]
        value = self._value(*images)
        if self.spec.pyiqa in _INFINITE_WHERE_EQUAL and value >= self._of_equal_images:
            value = math.inf
        if value == math.inf:
            raise NotComputableError(
                f"{self.spec.id}: infinite, because the image equals its reference; no mean can "
                "hold it"
            )
        if not math.isfinite(value):
            raise NotComputableError(
                f"{self.spec.id}: not defined on an image of {_size(sr)} such as this one "
                "(too small, or without texture)"
            )
        return value

    @cached_property
    def _of_equal_images(self) -> float:
        """What pyiqa gives where there is no error, whatever the images show."""
        image = torch.zeros(1, 3, 8, 8, device=self.device)
        return self._value(image, image)

    def _value(self, *images: torch.Tensor) -> float:
        with exact_arithmetic(self.device), BandedConvolutions(), same_draws(self._draws):
            try:
                return float(self._network(*images))
            except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
                return math.nan  # NIQE, on the statistics of too few blocks
            except (MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
                raise
            # What a metric raises on an image that it cannot take is up to it.
            except Exception as error:
                size, reason = _size(images[0]), _reason(error, self.spec.file)
                raise NotComputableError(
                    f"{self.spec.id}: fails on an image of {size} ({reason})"
                ) from error

    def _prepare(self, image: torch.Tensor, what: str) -> torch.Tensor:
        """Checked, cropped, (1, 3, H, W) float32 on the device."""
        if image.ndim != 3 or image.shape[0] != 3:
            raise DataError(f"{self.spec.id}: {what} of shape {tuple(image.shape)}, not (3, H, W)")
        image = image.detach().to(self.device, torch.float32)
        if not bool(torch.isfinite(image).all()):
            raise DataError(f"{self.spec.id}: {what} holds NaN or infinite values")
        if float(image.min()) < -1e-6 or float(image.max()) > 1 + 1e-6:
            raise DataError(f"{self.spec.id}: {what} has values outside [0, 1]")
        crop = self.spec.border_crop
        smallest = _SMALLEST_SIDE.get(self.spec.pyiqa, 1)
        if min(image.shape[1:]) - 2 * crop < smallest:
            raise NotComputableError(
                f"{self.spec.id}: needs {smallest + 2 * crop} pixels a side, got {_size(image)}"
            )
        height, width = image.shape[1:]
        return image[None, :, crop : height - crop, crop : width - crop].clamp(0, 1)


def load_metric(
    spec: MetricSpec,
    device: torch.device | str = "cpu",
    *,
    files: Mapping[str, Path | str] | None = None,
) -> Metric | SetMetric | Missing:
    """Load a metric, or say what it lacks and the command that gets it. No network is used.

    A metric of whole sets (`spec.per_set`) comes as a `SetMetric`.

    `files` maps names of the weights catalogue to other files to use in their stead; such a
    metric's card says `verified: False`.

    Raises:
        ConfigError: pyiqa has no such metric, or says something else of it than `spec` (its
            direction, its need of a reference, one number per image or set); or the file of a
            metric of one's own is not usable.
    """
    _hold_against_pyiqa(spec)
    home = activate()
    device = torch.device(device)
    found: list[Present] = []
    for name in spec.weights:
        if files and name in files:
            found.append(Present(name, Path(files[name]), verified=False))
            continue
        weights = status(name)
        if isinstance(weights, Missing):
            return Missing(spec.id, weights.reason, weights.command)
        found.append(weights)
    try:
        network = _build(spec, found, device)
    except DownloadError as error:
        return Missing(spec.id, f"{_name(spec)} wants to download {error}", error.remedy)
    except ImportError as error:
        return Missing(
            spec.id, f"{_name(spec)} lacks a package ({error})", "install it, or tadsr again"
        )
    except (ConfigError, torch.OutOfMemoryError):
        raise
    # What a damaged or foreign file raises is up to pickle, zipfile, scipy and pyiqa.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, TypeError) and "unexpected keyword" in reason:
            raise ConfigError(f"metric '{spec.id}': options: {reason}") from error
        if not found:
            reached = f"import pyiqa; pyiqa.create_metric('{spec.pyiqa}')"
            remedy = f'where there is a network: TORCH_HOME={home} python -c "{reached}"'
            return Missing(spec.id, f"{_name(spec)} cannot be loaded ({reason})", remedy)
        places = " and ".join(str(item.path) for item in found)
        return Missing(spec.id, f"{places} cannot be loaded ({reason})")
    card = judged(make_card(spec, network, None, device.type), spec, found)
    if not files:
        remember_tensors(card, spec)
    if isinstance(network, InceptionStatistics):
        return SetMetric(spec, network, card, device)
    return Metric(spec, network, card, device)


def _hold_against_pyiqa(spec: MetricSpec) -> None:
    """Refuse a spec that contradicts pyiqa's own table; without this, a verdict could be reversed.

    Raises:
        ConfigError: naming the metric and the setting.
    """
    found = objection(
        spec.pyiqa, higher_is_better=spec.higher_is_better, needs_reference=spec.needs_reference,
        per_set=spec.per_set,
    ) if spec.pyiqa else None  # fmt: skip
    if found:
        raise ConfigError(f"metric '{spec.id}': {found.key}: {found.text}")


def _name(spec: MetricSpec) -> str:
    return f"pyiqa's '{spec.pyiqa}'" if spec.pyiqa else str(spec.file)


def _reason(error: Exception, file: str | None) -> str:
    """The kind and text of an error in one short line, with the place in the user's own file."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    places = [at for at in traceback.extract_tb(error.__traceback__) if at.filename == file]
    return f"{text}, {Path(places[-1].filename).name}:{places[-1].lineno}" if places else text


def _build(spec: MetricSpec, found: list[Present], device: torch.device) -> torch.nn.Module:
    """The network of `spec`, pyiqa's or of one's own, in evaluation mode."""
    if spec.file:
        with no_downloads():
            return load_own(spec, device)
    options = dict(spec.options)
    for item in found:
        if item.verified is not True and item.path.suffix == ".pth":
            # pyiqa unpickles freely; a file of unknown origin must be plain tensors.
            torch.load(item.path, map_location="meta", weights_only=True)
        if item.name in _FILE_OPTION:
            options[_FILE_OPTION[item.name]] = str(item.path)
    with quiet(), no_downloads():
        import pyiqa

        if spec.per_set:
            return _inception(found).to(device).eval().requires_grad_(False)
        metric = pyiqa.create_metric(spec.pyiqa, as_loss=False, device=device, **options)
    network: torch.nn.Module = metric.net
    return network.eval().requires_grad_(False)


def _inception(found: list[Present]) -> InceptionStatistics:
    """pyiqa's Inception network with the weights in place; it would look for them itself."""
    from pyiqa.archs import inception as architecture

    paths = {item.name: item.path for item in found}
    before = architecture.load_pretrained_network

    def load(network: torch.nn.Module, url: str) -> None:
        state = torch.load(paths[INCEPTION], map_location="cpu", weights_only=True)
        network.load_state_dict(state)

    architecture.load_pretrained_network = load
    try:
        network = architecture.InceptionV3([architecture.InceptionV3.BLOCK_INDEX_BY_DIM[FEATURES]])
    finally:
        architecture.load_pretrained_network = before
    return InceptionStatistics(network, paths.get(STATISTICS))


def _grey_levels(image: torch.Tensor) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1] as (1, 1, H, W) of the 8-bit levels a grey file would hold."""
    weights = torch.tensor(_LUMA, device=image.device).view(1, 3, 1, 1)
    return (255 * (weights * image).sum(1, keepdim=True)).round() / 255


def _size(image: torch.Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
