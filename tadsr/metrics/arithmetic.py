"""How every metric computes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

BAND_BYTES = 2**20
"""Of the unfolded copy that a band of a convolution makes; more falls out of a core's cache."""

_DRAWING = Lock()
"""Held while the global generators are borrowed: several threads may be computing."""


@contextlib.contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """float32 as it is written: no autocast, no TF32, deterministic kernels, no gradients.

    Precision is a setting of the whole process. Several threads that compute metrics need one
    that holds it around all of them, or the first to leave would change it for the others.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class BandedConvolutions(TorchFunctionMode):
    """Meanwhile, this thread's float64 convolutions on the CPU go band by band of rows.

    SSIM and NIQE filter in float64, for which torch has no direct kernel: it writes every window
    of the image out (11x11 numbers for each pixel of SSIM, 58 MB for 256x256) and multiplies.
    In bands the same products are summed in the same order, so the result is equal to the last
    bit, but the copy stays in the cache: SSIM takes a tenth of the time, and its memory does not
    grow with 121 times the image (`benchmarks/evaluation.py`).
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Iterable[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        if func is torch.conv2d:
            return _convolve(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _convolve(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> torch.Tensor:
    """`torch.conv2d`, in bands where that is the same."""
    plain = _all(stride, 1) and _all(padding, 0) and _all(dilation, 1)
    cpu64 = input.dtype == torch.float64 and input.device.type == "cpu" and input.ndim == 4
    if not (plain and cpu64):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    window = weight.shape[-2] * weight.shape[-1]
    height, width = (s - k + 1 for s, k in zip(input.shape[2:], weight.shape[2:], strict=True))
    rows = max(1, BAND_BYTES // (8 * window * input.shape[1] * max(width, 1)))
    if height <= rows:
        return torch.conv2d(input, weight, bias, groups=groups)
    overlap = weight.shape[2] - 1
    bands = (input[:, :, top : min(top + rows, height) + overlap]
             for top in range(0, height, rows))  # fmt: skip
    return torch.cat([torch.conv2d(band, weight, bias, groups=groups) for band in bands], dim=2)


def _all(setting: Any, value: int) -> bool:
    """Whether a setting of a convolution, one number or one for each axis, is `value`."""
    return bool(all(s == value for s in setting) if isinstance(setting, tuple | list)
                else setting == value)  # fmt: skip


@contextlib.contextmanager
def same_draws(needed: bool) -> Iterator[None]:
    """The same random numbers of torch (CPU) and numpy at each call, for metrics that draw some.

    A few of pyiqa's look at random patches. The global generators are put back afterwards.
    """
    if not needed:
        yield
        return
    with _DRAWING, torch.random.fork_rng(devices=[]):
        before = np.random.get_state()
        torch.manual_seed(0)
        np.random.seed(0)  # pyiqa draws from this one
        try:
            yield
        finally:
            np.random.set_state(before)
