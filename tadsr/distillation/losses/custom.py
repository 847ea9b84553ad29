"""Losses of one's own: a Python file with a class `Loss`.

    from tadsr.config.base import Config

    class Loss:
        class Config(Config):           # its settings; may be left out
            power: float = 2.0

        def __init__(self, config: Config) -> None:
            self.config = config

        def __call__(self, step) -> Tensor:
            return (step.z_stu - step.z_0).abs().pow(self.config.power).mean()

`step` is a `StudentStep`. `tadsr loss FILE` holds a file against what the training relies on.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tadsr.config.base import Config
from tadsr.config.student import CustomLossSpec
from tadsr.distillation.step import Loss
from tadsr.errors import ConfigError
from tadsr.files import sha256_file


class NoSettings(Config):
    """Of a loss without a `Config` of its own."""


def load_loss(spec: CustomLossSpec) -> Loss:
    """The loss that a file defines, with its settings.

    Raises:
        ConfigError: the file is not the one that the experiment was read with, cannot be
            imported, has no class `Loss`, or does not take these settings.
    """
    path = Path(spec.file).expanduser()
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a custom loss is a Python file")
    if sha256_file(path) != spec.digest:
        raise ConfigError(
            f"{path}: has changed since the experiment was read; run `tadsr run` again"
        )
    loss = getattr(_module(path, spec.digest), "Loss", None)
    if not isinstance(loss, type):
        raise ConfigError(f"{path}: defines no class 'Loss' (docs/losses.md has an example)")
    settings = _settings(path, loss, spec.settings)
    try:
        made: Loss = loss(settings)
    except Exception as error:
        raise ConfigError(
            f"{path}: Loss(config) fails ({type(error).__name__}: {error})"
        ) from error
    return made


def _module(path: Path, digest: str) -> Any:
    """The file as a module, run once per content."""
    name = f"tadsr_custom_loss_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ConfigError(f"{path}: is no Python file; name it something.py")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # before it runs: pydantic looks annotations up there
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"{path}: cannot be imported ({type(error).__name__}: {error})"
        ) from error
    return module


def _settings(path: Path, loss: type, given: dict[str, Any]) -> BaseModel:
    settings = getattr(loss, "Config", NoSettings)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
        raise ConfigError(f"{path}: Loss.Config is no settings class; derive it from "
                          "tadsr.config.base.Config")  # fmt: skip
    try:
        made: BaseModel = settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigError(f"{path}: settings: {key}: {first['msg']}") from error
    return made
