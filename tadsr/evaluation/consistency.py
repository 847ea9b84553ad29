"""LR-consistency: a super-resolved image, reduced again, against the LR image that it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tadsr.data.images import RGB8
from tadsr.data.resize import bicubic
from tadsr.errors import DataError


def reduced(sr: RGB8, lr: RGB8, place: Path | str) -> torch.Tensor:
    """`sr` (H, W, 3) reduced to the size of `lr` (H / scale, W / scale, 3): (3, h, w) in [0, 1].

    Antialiased bicubic as Matlab's `imresize`, as LR images are made of HR ones here, but not
    rounded: rounded, a perfect image would equal its input, and have no PSNR. The rounding of the
    LR input alone then limits LR-PSNR to about 59 dB (a mean squared error of 1/12).

    Raises:
        DataError: the size of `sr` (called `place`) is no whole multiple of that of `lr`.
    """
    (height, width), (rows, columns) = sr.shape[:2], lr.shape[:2]
    scale = height // rows
    if scale < 1 or (height, width) != (scale * rows, scale * columns):
        raise DataError(
            f"{place} of {width}x{height} is no whole multiple of its LR image of {columns}x{rows}"
        )
    levels = torch.from_numpy(np.array(sr)).permute(2, 0, 1)[None].to(torch.float64)
    return bicubic(levels, scale=1 / scale)[0].clamp(0, 255) / 255
