"""The degradations as a whole: deterministic, the same in any batch, of the right size.

The steps of the pipeline have tests of their own (`test_resize`, `test_images`).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from skimage import data

from tadsr.data.degradations import make_lr
from tadsr.data.kernels import blur, elliptical_kernel
from tadsr.errors import ConfigError


def levels() -> torch.Tensor:
    crops = [data.astronaut()[y : y + 64, 160:224] for y in (0, 64, 128)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(
    ("kind", "scale"), [("bicubic", 4), ("realesrgan", 4), ("imagenet_test", 4), ("face", 1)]
)
def test_an_image_is_the_same_in_any_batch(kind: str, scale: int) -> None:
    images = levels()
    together = make_lr(images, kind, 7, [4, 5, 6], scale)
    assert together.dtype == torch.uint8
    assert together.shape == (3, 3, 64 // scale, 64 // scale)
    assert torch.equal(together, make_lr(images, kind, 7, [4, 5, 6], scale))
    for row, index in enumerate((4, 5, 6)):
        alone = make_lr(images[row : row + 1], kind, 7, [index], scale)
        assert torch.equal(alone[0], together[row])
    if kind != "bicubic":
        assert not torch.equal(together, make_lr(images, kind, 8, [4, 5, 6], scale))


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="realesrgan"):
        make_lr(levels(), "realesrgam", 0, [0, 1, 2])


def test_blur_is_that_of_scipy() -> None:
    image = levels()[:1].double().float() / 255
    kernel = elliptical_kernel(9, (1.5, 0.8), 0.4)
    ours = blur(image, [kernel])[0]
    for channel in range(3):
        expected = correlate(image[0, channel].double().numpy(), kernel, mode="mirror")
        assert np.abs(ours[channel].numpy() - expected).max() < 1e-5
