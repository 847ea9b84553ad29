"""The two-stage random degradation of Real-ESRGAN (Wang et al., arXiv 2107.10833).

Written from the paper's equations. Stage: blur, resize, noise; a JPEG after the first stage; the
second stage happens with some probability; at last a resize to 1/4 with a sinc filter (ringing)
and a JPEG, in random order. Images are (3, H, W) float32 in [0, 1] on the CPU.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from tadsr.data.images import to_tensor, to_uint8
from tadsr.data.kernels import KERNEL_WEIGHTS, BlurSettings, blur, random_kernel, random_sinc
from tadsr.seeds import numpy_generator

Range = tuple[float, float]


@dataclass(frozen=True)
class StageSettings:
    """One stage: blur, resize, noise. Noise levels are in 8-bit units."""

    blur: BlurSettings
    resize_weights: tuple[float, float, float]  # up, down, keep
    resize_range: Range  # smallest and largest factor
    gaussian_probability: float  # else Poisson
    gaussian_sigma: Range
    poisson_scale: Range
    grey_probability: float  # one noise plane for all channels


@dataclass(frozen=True)
class DegradationSettings:
    """All parameters of `degrade`; see `PRESETS`."""

    first: StageSettings
    first_jpeg: tuple[int, int]
    second: StageSettings
    second_probability: float
    final_sinc_probability: float
    final_jpeg: tuple[int, int] | None
    scale: int = 4


_FIRST = StageSettings(
    blur=BlurSettings(1.0, (3, 19), 0.1, KERNEL_WEIGHTS, (0.2, 3.0), (0.5, 4.0), (1.0, 2.0)),
    resize_weights=(0.2, 0.7, 0.1),
    resize_range=(0.15, 1.5),
    gaussian_probability=0.5,
    gaussian_sigma=(1, 30),
    poisson_scale=(0.05, 3.0),
    grey_probability=0.4,
)
_SECOND = StageSettings(
    blur=BlurSettings(0.8, (3, 13), 0.1, KERNEL_WEIGHTS, (0.2, 1.5), (0.5, 4.0), (1.0, 2.0)),
    resize_weights=(0.3, 0.4, 0.3),
    resize_range=(0.3, 1.2),
    gaussian_probability=0.5,
    gaussian_sigma=(1, 25),
    poisson_scale=(0.05, 2.5),
    grey_probability=0.4,
)
# Blur, noise and JPEG ranges are those stated for ImageNet-Test; straight down-sampling by 4 and
# Gaussian-only noise are our reading of "first-order".
_MILD = StageSettings(
    blur=BlurSettings(1.0, (3, 19), 0.0, (0.5, 0.5, 0, 0, 0, 0), (0.2, 0.8), (1, 1), (1, 1)),
    resize_weights=(0, 1, 0),
    resize_range=(0.25, 0.25),
    gaussian_probability=1.0,
    gaussian_sigma=(1, 15),
    poisson_scale=(0, 0),
    grey_probability=0.4,
)

REALESRGAN = DegradationSettings(
    first=_FIRST,
    first_jpeg=(30, 95),
    second=_SECOND,
    second_probability=0.5,
    final_sinc_probability=0.8,
    final_jpeg=(30, 95),
)
"""The training setting of ResShift, SinSR and TAD-SR."""

IMAGENET_TEST = DegradationSettings(
    first=_MILD,
    first_jpeg=(70, 95),
    second=_MILD,
    second_probability=0.0,
    final_sinc_probability=0.0,
    final_jpeg=None,
)
"""The milder first-order recipe of ImageNet-Test, as far as it is published."""

PRESETS = {"realesrgan": REALESRGAN, "imagenet_test": IMAGENET_TEST}


def degrade(
    hr: torch.Tensor, seed: int, index: int, settings: DegradationSettings = REALESRGAN
) -> torch.Tensor:
    """Degrade `hr`, a (3, H, W) float tensor in [0, 1], to (3, H/4, W/4), rounded to 8 bits.

    A pure function of the pixels, (seed, index) and the settings; sides must be multiples of
    `settings.scale`.
    """
    height, width = hr.shape[-2:]
    if hr.ndim != 3 or hr.shape[0] != 3 or height % settings.scale or width % settings.scale:
        raise ValueError(f"expected (3, H, W), sides multiples of 4, got {tuple(hr.shape)}")
    rng = numpy_generator(seed, "realesrgan", index)
    target = (height // settings.scale, width // settings.scale)
    image = hr.detach().to("cpu", torch.float32)
    image = _stage(image, rng, settings.first, (height, width))
    image = _jpeg(image, rng, settings.first_jpeg)
    if rng.random() < settings.second_probability:
        # Factors of the second stage are relative to the output size, else images of both
        # stages' smallest factors would keep five pixels of a hundred.
        image = _stage(image, rng, settings.second, target)
    image = _finish(image, rng, settings, target)
    return torch.round(image.clamp(0, 1) * 255) / 255


def _stage(
    image: torch.Tensor, rng: np.random.Generator, stage: StageSettings, base: tuple[int, int]
) -> torch.Tensor:
    if rng.random() < stage.blur.probability:
        image = blur(image, random_kernel(rng, stage.blur))
    low, high = stage.resize_range
    way = rng.choice(3, p=stage.resize_weights)
    factor = (rng.uniform(1, max(1, high)), rng.uniform(low, min(1, high)), 1.0)[way]
    size = (max(1, round(base[0] * factor)), max(1, round(base[1] * factor)))
    image = _resize(image, rng, size).clamp(0, 1)
    return _noise(image, rng, stage).clamp(0, 1)


def _resize(image: torch.Tensor, rng: np.random.Generator, size: tuple[int, int]) -> torch.Tensor:
    """Resize by a random method, without antialiasing in two of three: aliasing is a defect too."""
    mode = ("area", "bilinear", "bicubic")[rng.integers(3)]
    if size == tuple(image.shape[-2:]):
        return image
    corners = None if mode == "area" else False
    return F.interpolate(image[None], size=size, mode=mode, align_corners=corners)[0]


def _noise(image: torch.Tensor, rng: np.random.Generator, stage: StageSettings) -> torch.Tensor:
    gaussian = rng.random() < stage.gaussian_probability
    grey = rng.random() < stage.grey_probability
    if gaussian:
        sigma = rng.uniform(*stage.gaussian_sigma) / 255
        shape = (1 if grey else 3, *image.shape[1:])
        return image + sigma * torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return image + rng.uniform(*stage.poisson_scale) * _shot_noise(image, rng, grey)


def _shot_noise(image: torch.Tensor, rng: np.random.Generator, grey: bool) -> torch.Tensor:
    """Poisson noise of unit scale: the photon count of white grows with the levels in use."""
    signal = image.clamp(0, 1)
    if grey:
        luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        signal = (signal * luma).sum(dim=0, keepdim=True)
    levels = (signal * 255).round()
    used = int(torch.bincount(levels.to(torch.int64).flatten(), minlength=256).count_nonzero())
    photons = 2.0 ** np.ceil(np.log2(max(used, 2)))
    expected = levels.numpy().astype(np.float64) / 255
    noise = rng.poisson(expected * photons) / photons - expected
    return torch.from_numpy(noise.astype(np.float32))


def _jpeg(
    image: torch.Tensor, rng: np.random.Generator, quality: tuple[int, int] | None
) -> torch.Tensor:
    """A round trip through a real JPEG (4:2:0 chroma) of random quality."""
    if quality is None:
        return image
    buffer = io.BytesIO()
    picture = Image.fromarray(to_uint8(image))
    picture.save(buffer, format="JPEG", quality=int(rng.integers(quality[0], quality[1] + 1)))
    buffer.seek(0)
    with Image.open(buffer, formats=("JPEG",)) as decoded:
        return to_tensor(np.array(decoded.convert("RGB")))


def _finish(
    image: torch.Tensor,
    rng: np.random.Generator,
    settings: DegradationSettings,
    target: tuple[int, int],
) -> torch.Tensor:
    jpeg_first = bool(rng.random() < 0.5)
    if jpeg_first:
        image = _jpeg(image, rng, settings.final_jpeg)
    image = _resize(image, rng, target).clamp(0, 1)
    if rng.random() < settings.final_sinc_probability:
        image = blur(image, random_sinc(rng, settings.first.blur.sizes)).clamp(0, 1)
    if not jpeg_first:
        image = _jpeg(image, rng, settings.final_jpeg)
    return image
