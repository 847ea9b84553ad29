"""What the training relies on in a loss, as checks that anyone can run on theirs.

    from tadsr.distillation.contract import check_file
    def test_my_loss():
        assert [clause for clause in check_file("my_loss.py") if clause.broken] == []

or, from the command line, `tadsr loss my_loss.py`.
"""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tadsr.config.plugins import Clause
from tadsr.config.student import CustomLossSpec
from tadsr.diffusion import ResShiftScheduler, predict_x0
from tadsr.distillation.losses.custom import load_loss
from tadsr.distillation.step import Loss, StudentStep
from tadsr.errors import ConfigError
from tadsr.models.swin_unet import SwinUNet2DModel
from tadsr.training.draws import Draws
from tadsr.training.process import seeded

IMAGES, CHANNELS, SIDE = 4, 48, 8
TOLERANCE = 1e-4


def check_file(path: Path | str, settings: Mapping[str, Any] | None = None) -> list[Clause]:
    """Check the class `Loss` of a file with its settings.

    Raises:
        ConfigError: the file cannot be loaded, or does not take the settings.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a custom loss is a Python file")
    return check(load_loss(CustomLossSpec(file=str(path), settings=dict(settings or {}))))


def check(loss: Loss) -> list[Clause]:
    """Check a loss on a small made-up step; the clauses that need a number wait for the first."""
    clauses = [Clause("gives one finite number", _no_number(loss))]
    if not clauses[0].broken:
        clauses += [
            Clause("has a gradient for the student", _no_gradient(loss)),
            Clause("same step, same number", _varies(loss)),
            Clause("draws from step.draws, not from torch's global generator", _global(loss)),
            Clause("is a mean over the images of a step", _no_mean(loss)),
            Clause("changes nothing in the step or the networks", _changes(loss)),
        ]
    return clauses


def made_up_step() -> StudentStep:
    """A step of random latents and a small random network, the same at each call."""
    student, teacher = (seeded(_network, 0, name) for name in ("student", "teacher"))
    draws, shape = Draws(0, range(IMAGES)), torch.empty(IMAGES, CHANNELS, SIDE, SIDE)
    x_T, z_y, z_0, z_tch = (draws.gaussian(name, shape) for name in ("x", "y", "0", "tch"))
    lq = draws.uniform("lq", torch.empty(IMAGES, 3, SIDE, SIDE)) * 2 - 1
    scheduler: Any = ResShiftScheduler(prediction_type="residual", sigma_r=0.5)
    z_stu = predict_x0(student, scheduler, x_T, scheduler.num_train_timesteps - 1, z_y, lq)
    return StudentStep(
        x_T=x_T, z_y=z_y, z_0=z_0, z_tch=z_tch, z_stu=z_stu, lq=lq, student=student,
        teacher=teacher.requires_grad_(False), scheduler=scheduler, draws=draws,
    )  # fmt: skip


def _network() -> SwinUNet2DModel:
    network: SwinUNet2DModel = SwinUNet2DModel(
        in_channels=CHANNELS, out_channels=CHANNELS, model_channels=16, channel_mult=(1,),
        num_res_blocks=1, attention_resolutions=(), sample_size=SIDE, num_head_channels=8,
        swin_depth=1, swin_embed_dim=8, window_size=8, mlp_ratio=1.0,
    )  # fmt: skip
    for parameter in network.parameters():  # the zero-initialised layers too
        torch.nn.init.normal_(parameter, std=0.1)
    network.eval()
    return network


def part(step: StudentStep, rows: slice) -> StudentStep:
    """Some of the images of a step."""
    tensors = {
        field.name: getattr(step, field.name)[rows]
        for field in dataclasses.fields(step)
        if isinstance(getattr(step, field.name), Tensor)
    }
    draws = Draws(step.draws.seed, list(step.draws.positions)[rows])
    return dataclasses.replace(step, **tensors, draws=draws, shared={})


def _no_number(loss: Loss) -> str:
    try:
        value: object = loss(made_up_step())
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    if not isinstance(value, Tensor):
        return f"it gives a {type(value).__name__}; return a tensor"
    if value.ndim:
        return f"it gives a tensor of shape {tuple(value.shape)}; take its mean"
    return "" if math.isfinite(float(value.detach())) else f"it gives {float(value.detach())}"


def _no_gradient(loss: Loss) -> str:
    step = made_up_step()
    value = loss(step)
    if not value.requires_grad:
        return "its number does not depend on step.z_stu or step.student; is something detached?"
    parameters = list(step.student.parameters())
    found = [g for g in torch.autograd.grad(value, parameters, allow_unused=True) if g is not None]
    norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in found))
    if not math.isfinite(norm):
        return f"the gradient's norm is {norm}"
    return "" if norm else "the gradient is zero throughout"


def _varies(loss: Loss) -> str:
    first, second = float(loss(made_up_step()).detach()), float(loss(made_up_step()).detach())
    return "" if first == second else f"it gives {first:.7g}, then {second:.7g}"


def _global(loss: Loss) -> str:
    step = made_up_step()
    before = torch.random.get_rng_state()
    loss(step)
    same = torch.equal(before, torch.random.get_rng_state())
    return "" if same else "a resumed training could not repeat it; use step.draws.gaussian(...)"


def _no_mean(loss: Loss) -> str:
    step = made_up_step()
    whole = float(loss(step).detach())
    half = IMAGES // 2
    halves = [float(loss(part(step, rows)).detach()) for rows in (slice(half), slice(half, None))]
    mean = sum(halves) / 2
    if abs(whole - mean) <= TOLERANCE * max(1.0, abs(whole)):
        return ""
    return (
        f"{IMAGES} images give {whole:.5g}, and their two halves {mean:.5g} on average; a batch "
        "may be worked on in pieces"
    )


def _changes(loss: Loss) -> str:
    step, untouched = made_up_step(), made_up_step()
    value = loss(step)
    if value.requires_grad:
        value.backward(inputs=list(step.student.parameters()))  # type: ignore[no-untyped-call]
    for field in dataclasses.fields(step):
        mine, other = getattr(step, field.name), getattr(untouched, field.name)
        if isinstance(mine, Tensor) and not torch.equal(mine, other):
            return f"step.{field.name} was changed in place"
    for name in ("student", "teacher"):
        pairs = zip(
            getattr(step, name).state_dict().values(),
            getattr(untouched, name).state_dict().values(), strict=True,
        )  # fmt: skip
        if not all(torch.equal(mine, other) for mine, other in pairs):
            return f"weights of step.{name} were changed"
    return ""
