"""Reading checkpoint files: nesting, wrappers, averaged weights, damaged and dangerous files.

Knows nothing of any network.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tadsr.errors import ConfigError, TadsrError
from tadsr.models.strict import names_of

State = dict[str, Tensor]
Weights = Literal["auto", "raw", "ema"]
"""Which set of a file: `auto` takes the average where there is one."""

RAW = ("state_dict", "params", "model")
AVERAGED = ("ema", "ema_state_dict", "state_dict_ema", "params_ema", "model_ema")
MOST_EXPANSION = 4
"""Times its file's size that a checkpoint may unpack to; tensors stand in it as they are, so
beyond tied weights there is nothing to unpack."""
SMALL = 2**20
DERIVED = (".relative_position_index", ".attn_mask")
"""Ends of keys that hold what follows from the sizes; averages of parameters lack them."""

_WRAPPERS = re.compile(r"(^|(?<=\.))(?:module\.|_orig_mod\.)+")
_DOTLESS = "model_ema."
_BOOKKEEPING = {"decay", "num_updates"}


@dataclass
class Checkpoint:
    """The tensors of one set of weights, by plain key and in single precision.

    `weights` says which set it is: `ema`, `raw` (the file has an average too), or `unmarked`: the
    file holds one set and does not say whether it is an average. `ignored` names what else the
    file holds.
    """

    path: Path
    state: State
    weights: Literal["ema", "raw", "unmarked"]
    ignored: list[str] = field(default_factory=list)


def read_checkpoint(path: Path | str, weights: Weights = "auto") -> Checkpoint:
    """Read a `.pth` (zip or legacy) or `.safetensors` file.

    Weights may be nested (under `state_dict`, `params` or `model`), their keys wrapped by
    `module.` and `_orig_mod.` anywhere, and accompanied by averages: a second state dict (`ema`,
    `ema_state_dict`, `params_ema`, ...) or keys `model_ema.*` with the dots of the name removed.

    Raises:
        TadsrError: no such file, damaged, more than plain tensors, or no such set of weights.
        ConfigError: `weights` is none of the three words.
    """
    path = Path(path)
    if weights not in get_args(Weights):
        raise ConfigError(f"weights '{weights}' is not known; it is one of auto, raw, ema")
    raw, averaged, ignored = _unnest(path, read_content(path))
    raw, dotless = _split_dotless(raw)
    if dotless:
        averaged = _restore_dots(path, dotless, raw or {}) if weights != "raw" else {}
    elif averaged is not None:
        averaged = _plain(path, averaged)
    raw = None if raw is None else _plain(path, raw)
    if weights == "ema" and averaged is None:
        raise TadsrError(
            f"{path}: no averaged weights in it (none of {', '.join(AVERAGED)}, model_ema.*); "
            "ask for weights auto"
        )
    if weights == "raw" and raw is None:
        raise TadsrError(f"{path}: holds averaged weights alone; ask for weights ema or auto")
    if averaged is None or weights == "raw":
        label: Literal["raw", "unmarked"] = "unmarked" if averaged is None else "raw"
        others = [] if averaged is None else ["the averaged weights"]
        return Checkpoint(path, _single(raw or {}), label, [*ignored, *others])
    buffers = {k: v for k, v in (raw or {}).items() if k.endswith(DERIVED) and k not in averaged}
    others = [] if raw is None else ["the raw weights"]
    return Checkpoint(path, _single({**averaged, **buffers}), "ema", [*ignored, *others])


def read_content(path: Path) -> Any:
    """What a checkpoint file holds, as it is; pickles with `weights_only=True` alone.

    So no code of the file ever runs: of a pickle, tensors, plain containers, numbers and strings.

    Raises:
        TadsrError: no such file, damaged, a TorchScript archive, or a pickle that needs more.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickle protocols; what follows is judged by us
            _refuse_bomb(path, _unpacked(path))
            content = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_bomb(path, sum(_bytes_of(content)))
        return content
    except FileNotFoundError as error:
        raise TadsrError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise TadsrError(f"{path}: is a folder; give the checkpoint file in it") from error
    except PermissionError as error:
        raise TadsrError(f"{path}: may not be read; check its permissions") from error
    except pickle.UnpicklingError as error:
        raise TadsrError(f"{path}: {_refusal(str(error))}") from error
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
    ) as error:
        reason, size = _first_sentence(str(error)), path.stat().st_size
        raise TadsrError(
            f"{path}: truncated, damaged or no checkpoint ({reason}; the file has {size:,} bytes); "
            "download it again and compare its size"
        ) from error


def _unpacked(path: Path) -> int:
    """Bytes that the entries of a zip file say they unpack to; 0 for another file."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _bytes_of(content: Any) -> Iterator[int]:
    """Bytes of each tensor in nested containers, as it would be written out in full.

    A file of some bytes may hold a view that repeats a single number a billion times.
    """
    if isinstance(content, Tensor):
        yield content.numel() * content.element_size()
    elif isinstance(content, Mapping | list | tuple):
        for value in content.values() if isinstance(content, Mapping) else content:
            yield from _bytes_of(value)


def _refuse_bomb(path: Path, size: int) -> None:
    allowed = MOST_EXPANSION * path.stat().st_size + SMALL
    if size > allowed:
        raise TadsrError(
            f"{path}: {path.stat().st_size:,} bytes that unpack to {size:,} are refused; "
            "get the checkpoint from its authors, or save its tensors alone where you trust it"
        )


def _refusal(message: str) -> str:
    """Why a pickle was refused: the global it needs, or what the reader stumbled over."""
    found = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"[cC]lass ([\w.]+)", message)
    if found:
        return (
            f"needs '{found[1]}' beyond plain tensors and could run code, so it is refused; save "
            "its state dict alone (torch.save or safetensors) where you trust it, and import that"
        )
    reason = _first_sentence(message.rpartition("WeightsUnpickler error:")[2])
    return (
        f"not a checkpoint of plain tensors, or damaged ({reason}); download it again, "
        "or save its state dict alone and import that"
    )


def _first_sentence(text: str) -> str:
    return re.split(r"\.\s|\n", text.strip())[0][:160].strip() or "unreadable"


def _unnest(
    path: Path, content: Any
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, list[str]]:
    """The main and the averaged entries of a file, and the names of what lies beside them."""
    averaged: dict[str, Any] | None = None
    ignored: list[str] = []
    while isinstance(content, Mapping):
        nests = {str(k): v for k, v in content.items() if isinstance(v, Mapping)}
        main = next((name for name in RAW if name in nests), None)
        mean = next((name for name in AVERAGED if nests.get(name)), None)
        if main is None and mean is None:
            return {str(k): v for k, v in content.items()}, averaged, ignored
        ignored += [str(k) for k in content if k not in (main, mean)]
        if mean is not None:
            inner, deeper, others = _unnest(path, nests[mean])
            averaged = deeper if inner is None else inner
            ignored += others
        if main is None:
            return None, averaged, ignored
        content = nests[main]
    raise TadsrError(f"{path}: holds no state dict; check that it is a model checkpoint")


def _split_dotless(raw: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Take the keys `model_ema.*` of a Lightning checkpoint, by what follows, out of the others."""
    if raw is None:
        return None, {}
    dotless = {k.removeprefix(_DOTLESS): v for k, v in raw.items() if k.startswith(_DOTLESS)}
    others = {k: v for k, v in raw.items() if not k.startswith(_DOTLESS)}
    return others, {k: v for k, v in dotless.items() if k not in _BOOKKEEPING}


def _restore_dots(path: Path, dotless: dict[str, Any], raw: dict[str, Any]) -> State:
    """Averages by the key of the raw weight whose name without dots they carry."""
    names: dict[str, str] = {}
    for key in raw:
        for spelling in {key.replace(".", ""), _WRAPPERS.sub("", key).replace(".", "")}:
            if names.setdefault(spelling, key) != key:
                raise TadsrError(
                    f"{path}: {names[spelling]} and {key} are the same without dots, so their "
                    "averages cannot be told apart; ask for weights raw"
                )
    if strangers := sorted(dotless.keys() - names.keys()):
        raise TadsrError(
            f"{path}: averaged weights of no raw weight: {names_of(strangers)}; "
            "ask for weights raw, or find another file"
        )
    return _plain(path, {names[k]: v for k, v in dotless.items()})


def _plain(path: Path, entries: Mapping[str, Any]) -> State:
    """Entries by key without wrappers; what is no tensor, or there twice, is an error."""
    others = [f"{k} ({type(v).__name__})" for k, v in entries.items() if not isinstance(v, Tensor)]
    if others:
        raise TadsrError(
            f"{path}: among its weights are entries that are no tensors: {names_of(others)}; "
            "check that it is a model checkpoint, or save its tensors alone"
        )
    state: State = {}
    for key, value in entries.items():
        name = _WRAPPERS.sub("", key)
        if name in state:
            raise TadsrError(
                f"{path}: {name} is there twice, with and without a wrapper's prefix; "
                "save the state dict of one network"
            )
        state[name] = value
    return state


def _single(state: State) -> State:
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
