"""The degradation of blind face restoration, at the size of the input.

y = { [ (x * k_sigma) reduced by r + n_delta ] as JPEG of quality q } enlarged by r: equation 1 of
GFP-GAN (Wang et al., arXiv 2101.04061) and of CodeFormer (Zhou et al., arXiv 2206.11253).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tadsr.data.kernels import BlurSettings, random_kernel
from tadsr.data.steps import Blur, GaussianNoise, Jpeg, Program, Resize

Range = tuple[float, float]


@dataclass(frozen=True)
class FaceSettings:
    """Ranges of uniform draws; `noise` in 8-bit units. For `scale` 4 the output is 1/4 as large."""

    blur: BlurSettings
    reduction: Range
    noise: Range
    jpeg: tuple[int, int]
    scale: int = 1

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Program:
        """Draw all numbers of one image of `size` = (height, width)."""
        kernel = random_kernel(rng, self.blur)
        factor = rng.uniform(*self.reduction)
        small = (max(1, int(size[0] / factor)), max(1, int(size[1] / factor)))
        noise = GaussianNoise(int(rng.integers(2**62)), rng.uniform(*self.noise) / 255, grey=False)
        jpeg = Jpeg(int(rng.integers(self.jpeg[0], self.jpeg[1] + 1)))
        back = Resize((size[0] // self.scale, size[1] // self.scale), "bilinear")
        return (Blur(kernel), Resize(small, "bilinear"), noise, jpeg, back)


FACE = FaceSettings(
    blur=BlurSettings(1.0, (41, 41), 41, 0.0, (0.5, 0.5, 0, 0, 0, 0), (1, 15), (1, 1), (1, 1)),
    reduction=(1, 30),
    noise=(0, 20),
    jpeg=(30, 90),
)
"""CodeFormer's ranges for faces of 512 pixels: sigma 1-15, r 1-30, delta 0-20, q 30-90.

These are the paper's as it is commonly cited. The released configuration of its second stage has
the same sigma and delta, r 4 to 30 and q 30 to 80, and kernels of 41 pixels, isotropic or not with
probability 1/2. GFP-GAN's released configuration is milder: sigma 0.1 to 10, r 0.8 to 8, delta 0 to
20, q 60 to 100. Both also shift colours or make some images grey, which is left out here. Which of
them TAD-SR's face model was trained with, if any, is not known to us.
"""
