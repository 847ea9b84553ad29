"""Everything that a training changes, in one object and one file.

The file is replaced in one step, so that it is whole or absent whenever the process dies. No
generator state is in it: randomness is a pure function of the images seen (`tadsr.seeds`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tadsr.errors import CorruptionError
from tadsr.files import atomic_path
from tadsr.training.objective import Trainable

FORMAT = 2
METADATA_KEY = "tadsr"


class TrainingState:
    """Networks, their averages and optimisers, and the position in data and curves.

    Attributes:
        images: images seen.
        steps: optimiser steps done.
        sums, count: running sums of the curve values since the last line, over `count` steps.
        first: the first validation and the first total of each phase, against which an explosion
            is told.
        last: the latest validation.
        scaler: of fp16 losses, or None.
    """

    def __init__(
        self,
        trainables: Mapping[str, Trainable],
        weight_decay: float,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.scaler = scaler
        self.networks = {name: item.network for name, item in trainables.items()}
        self.averages = {
            name: copy.deepcopy(item.network).requires_grad_(False).eval()
            for name, item in trainables.items()
            if item.averaged
        }
        self.optimisers = {
            name: torch.optim.AdamW(
                [p for p in item.network.parameters() if p.requires_grad],
                lr=item.learning_rate,
                weight_decay=weight_decay,
                fused=True,
            )
            for name, item in trainables.items()
        }
        self.images = 0
        self.steps = 0
        self.sums: dict[str, float] = {}
        self.count = 0
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}

    def parameters(self, name: str) -> list[nn.Parameter]:
        """The trained parameters of a network."""
        parameters: list[nn.Parameter] = self.optimisers[name].param_groups[0]["params"]
        return parameters

    def validated_networks(self) -> dict[str, nn.Module]:
        """What is validated and published: the averages, where a network has one."""
        return {**self.networks, **self.averages}

    @torch.no_grad()
    def update_averages(self, ema: float) -> None:
        """Move each average towards its network: decay min(ema, (1 + n) / (10 + n)) at step n."""
        decay = min(ema, (1 + self.steps) / (10 + self.steps))
        for name, average in self.averages.items():
            network = self.networks[name]
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
            for kept, current in zip(average.buffers(), network.buffers(), strict=True):
                kept.copy_(current)

    def save(self, path: Path) -> None:
        """Write everything to `path` (safetensors), in one step."""
        position = {
            "format": FORMAT, "images": self.images, "steps": self.steps, "sums": self.sums,
            "count": self.count, "first": self.first, "last": self.last,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }  # fmt: skip
        save_tensors(path, self._tensors(), {METADATA_KEY: json.dumps(position)})

    def load(self, path: Path) -> None:
        """Continue from `path`; a file of other networks, or a broken one, is an error."""
        tensors, metadata = load_tensors(path)
        position = json.loads(metadata.get(METADATA_KEY, "{}"))
        if position.get("format") != FORMAT:
            raise CorruptionError(f"{path}: not a training state of this version; delete it")
        self._restore_modules(path, tensors)
        for name, optimiser in self.optimisers.items():
            _restore_optimiser(optimiser, _below(tensors, f"optimiser/{name}/"))
        self.images, self.steps = position["images"], position["steps"]
        self.sums, self.count = position["sums"], position["count"]
        self.first, self.last = position["first"], position["last"]
        if self.scaler is not None:
            self.scaler.load_state_dict(position["scaler"])

    def _modules(self) -> dict[str, nn.Module]:
        networks = {f"network/{name}/": module for name, module in self.networks.items()}
        return networks | {f"average/{name}/": module for name, module in self.averages.items()}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {
            prefix + key: value
            for prefix, module in self._modules().items()
            for key, value in module.state_dict().items()
        }
        for name, optimiser in self.optimisers.items():
            for index, slots in optimiser.state_dict()["state"].items():
                for slot, value in slots.items():
                    tensors[f"optimiser/{name}/{index}/{slot}"] = value
        return tensors

    def _restore_modules(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        for prefix, module in self._modules().items():
            try:
                module.load_state_dict(_below(tensors, prefix))
            except RuntimeError as error:
                raise CorruptionError(
                    f"{path}: holds other networks than this recipe's; delete it and run again"
                ) from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors to a safetensors file in one step."""
    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_path(path, within_folder=True) as temporary:
        save_file(whole, temporary, metadata=metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors and the metadata of a safetensors file; a broken one is named."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CorruptionError(f"{path}: not readable ({error}); delete it and run again") from error


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore_optimiser(optimiser: torch.optim.Optimizer, slots: Mapping[str, Tensor]) -> None:
    """Put back AdamW's moments; learning rates are functions of the position, not state."""
    parameters = optimiser.param_groups[0]["params"]
    state: dict[int, dict[str, Any]] = {}
    for key, value in slots.items():
        index, slot = key.split("/")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # Fused AdamW pairs weights and moments by their place in memory, and a file keeps no
            # memory format.
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[slot] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
