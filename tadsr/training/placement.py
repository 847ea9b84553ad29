"""Tensors on their way to the device."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy `tensor` to `device` without waiting for the work that a GPU has yet to do."""
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        # From ordinary memory a copy waits for all that was asked of the GPU before.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
