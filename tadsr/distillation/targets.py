"""The target pool: the teacher's answers, computed once and shared by a whole grid.

The teacher is frozen and its chain deterministic, so one (LR, noise) pair has one answer. What is
stored is all that a student's step needs; crop, flip and noise of pair i depend on (seed, i) alone.

Files of a pool: `train-00000.safetensors`, ... with `SHARD_PAIRS` pairs each (the last one with
the rest), and `val.safetensors`, with the keys of `tadsr.distillation.answers`, each (pairs, ...)
float32; and `spectrum.json`, the spectra of score distillation on validation pairs. A pool of
mode `online` stores the validation pairs alone; its training pairs are computed anew whenever
they are asked for, the same for the same number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tadsr.config.data import DataSpec
from tadsr.config.student import TargetsSpec
from tadsr.data.dataset import Batch, TrainingCrops, fixed_pairs
from tadsr.distillation.answers import answer, single_step
from tadsr.distillation.pool import (
    VAL_FILE,
    Pool,
    TargetSource,
    pair_order,
    shard_file,
    validation_pairs,
)
from tadsr.distillation.spectrum import gradient_spectra
from tadsr.files import remove_leftovers, write_json
from tadsr.training.latents import crop_settings
from tadsr.training.models import load_frozen
from tadsr.training.process import reproducible
from tadsr.training.state import save_tensors

__all__ = ["OnlinePool", "Pool", "make_targets", "open_pool"]

SHARD_PAIRS = 64
SPECTRUM_FILE = "spectrum.json"
TRAIN_AXIS, VAL_AXIS = "target", "validation target"
"""Of the noise of training and of validation pairs."""


def make_targets(
    spec: TargetsSpec,
    teacher_model: Path,
    train: Path,
    val: Path,
    data: DataSpec,
    folder: Path,
    *,
    device: str,
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Write the pool into `folder`, skipping the shards that are already there.

    Args:
        teacher_model: a saved `TADSRPipeline`.
        train, val: data set folders with a manifest.

    Returns:
        `pairs`, `val_pairs`, `seconds` of this call, and `val_teacher1_mse`: the squared latent
        error of the teacher's own single step to its chain on validation pairs, where students
        start from.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    with reproducible(spec.threads), torch.no_grad():
        pipeline = load_frozen(teacher_model, device)
        for done in _shards(spec, pipeline, train, val, data, folder, device):
            progress(done, spec.stored_pairs + spec.val_pairs)
        pairs = {k: v.to(device) for k, v in validation_pairs(folder).items()}
        gap = single_step(pipeline.unet, pipeline.scheduler, pairs) - pairs["z_tch"]
        write_json(folder / SPECTRUM_FILE, gradient_spectra(pipeline, pairs, spec.seed))
    return {
        "pairs": float(spec.pairs),
        "val_pairs": float(spec.val_pairs),
        "seconds": time.monotonic() - started,
        "val_teacher1_mse": float((gap**2).mean()),
    }


class OnlinePool:
    """A pool whose training pairs are the teacher's answers of this moment.

    Pair number i is the same as in a stored pool of the same settings, up to the rounding of
    sums, which depends on the batch and the threads it is computed with.
    """

    def __init__(
        self, spec: TargetsSpec, pipeline: Any, train: Path, data: DataSpec, folder: Path,
        device: str,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.pipeline = pipeline
        self.crops = _crops(spec, train, data)
        self.folder = folder
        self.device = device

    def __len__(self) -> int:
        """Number of different training pairs: the length of an epoch."""
        return self.spec.pairs

    def batch(self, seed: int, start: int, count: int) -> dict[str, Tensor]:
        """The pairs `start` to `start + count` of the seed's order, (count, ...) for each key."""
        return self.pairs(pair_order(seed, start, count, len(self)))

    @torch.no_grad()
    def pairs(self, numbers: list[int]) -> dict[str, Tensor]:
        """Pairs by number, (len(numbers), ...) for each key."""
        parts = [
            answer(self.spec, self.pipeline, self.crops.pick(some), self.device, TRAIN_AXIS)
            for some in batched(numbers, self.spec.batch_size)
        ]
        return joined(parts)

    def validation(self) -> dict[str, Tensor]:
        """All pairs from validation images."""
        return validation_pairs(self.folder)


def open_pool(
    spec: TargetsSpec, folder: Path, pipeline: Any, train: Path, data: DataSpec, device: str
) -> TargetSource:
    """The pool that `make_targets` wrote to `folder`.

    Args:
        pipeline: the frozen teacher on `device`; asked by an online pool alone, as is `train`.
    """
    if spec.mode == "stored":
        return Pool(folder)
    return OnlinePool(spec, pipeline, train, data, folder, device)


def joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Pairs of several batches as one."""
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def batched(numbers: list[int], size: int) -> Iterator[list[int]]:
    """`numbers` in pieces of at most `size`."""
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _crops(spec: TargetsSpec, train: Path, data: DataSpec) -> TrainingCrops:
    """The crops of a pool: number i belongs to pair i."""
    crop, degradation = crop_settings(data.train)
    return TrainingCrops(train, crop, degradation, data.scale, spec.seed, axis="targets")


def _shards(
    spec: TargetsSpec, pipeline: Any, train: Path, val: Path, data: DataSpec, folder: Path,
    device: str,
) -> Iterator[int]:  # fmt: skip
    """Write one missing file at a time, yielding the pairs done so far."""
    crops = _crops(spec, train, data)
    for start in range(0, spec.stored_pairs, SHARD_PAIRS):
        count = min(SHARD_PAIRS, spec.pairs - start)
        path = folder / shard_file(start // SHARD_PAIRS)
        if not path.is_file():
            save_tensors(
                path, _answers(spec, pipeline, crops.batch, start, count, device, TRAIN_AXIS), {}
            )
        yield start + count
    path = folder / VAL_FILE
    if not path.is_file():
        crop, degradation = crop_settings(data.val)
        fixed = fixed_pairs(val, crop, spec.val_pairs, degradation, data.val.seed, data.scale)
        # Noise of its own: pair i must not meet the noise that training pair i was learnt with.
        answers = _answers(spec, pipeline, _slices(fixed), 0, spec.val_pairs, device, VAL_AXIS)
        save_tensors(path, answers, {})
    yield spec.stored_pairs + spec.val_pairs


def _answers(
    spec: TargetsSpec, pipeline: Any, crops: Callable[[int, int], Batch], start: int, count: int,
    device: str, axis: str,
) -> dict[str, Tensor]:  # fmt: skip
    """Pairs `start` to `start + count` with the teacher's answers, (count, ...) per key.

    Worked on in batches; a pair is the same in any of them.
    """
    parts = []
    for first in range(start, start + count, spec.batch_size):
        batch = crops(first, min(spec.batch_size, start + count - first))
        found = answer(spec, pipeline, batch, device, axis)
        parts.append({key: value.cpu() for key, value in found.items()})
    return joined(parts)


def _slices(batch: Batch) -> Callable[[int, int], Batch]:
    def part(start: int, count: int) -> Batch:
        rows = slice(start, start + count)
        return Batch(batch.hr[rows], batch.lq[rows], batch.names[rows], batch.indices[rows])

    return part
