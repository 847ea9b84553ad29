"""This process among those of a training, and its device: Hugging Face accelerate.

There is no DistributedDataParallel around the networks: a step optimises one network at a time,
and losses call parts of networks (`encoder_features`), which a wrapper would hide. Instead the
gradients of a phase are summed over the processes once, after its last backward pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from tadsr.errors import ConfigError
from tadsr.runs import team

MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
"""accelerate's names."""


class Workers:
    """What the processes of a training do together, and in which precision they pass forward.

    Attributes:
        device: where this process trains.
        count, index: number of processes, and which of them this is.
        scaler: scales losses so that fp16 gradients do not vanish; None in other precisions.

    Raises:
        ConfigError: the device does not have the precision.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        _check_precision(precision, device)
        if team.size() > 1:
            team.join(device.type)
        # accelerate keeps one state per process, but trainings that follow each other may differ.
        AcceleratorState._reset_state(reset_partial_state=team.size() == 1)
        self.device = device
        self._accelerator = Accelerator(
            cpu=device.type == "cpu", mixed_precision=MIXED_PRECISION[precision]
        )
        self.count: int = self._accelerator.num_processes
        self.index: int = self._accelerator.process_index
        self.scaler: torch.amp.GradScaler | None = self._accelerator.scaler

    def autocast(self) -> AbstractContextManager[None]:
        """Forward passes within the block run in the training's precision."""
        context: AbstractContextManager[None] = self._accelerator.autocast()
        return context

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over the processes."""
        if self.count == 1:
            return tensor
        total: Tensor = self._accelerator.reduce(tensor, reduction="sum")
        return total

    def add_up_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their sums over the processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = self.add_up(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))


def _check_precision(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"training.precision: fp16 needs a GPU, and this training runs on {device.type}; "
            "choose bf16 or fp32"
        )
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("training.precision: this GPU has no bf16; choose fp16 or fp32")
