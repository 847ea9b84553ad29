from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tadsr.errors import ConfigError, TadsrError
from tadsr.models.checkpoints import read_checkpoint

RAW = {"conv.0.weight": torch.ones(2, 3), "conv.0.bias": torch.ones(2)}
MEAN = {key: 2 * value for key, value in RAW.items()}
DOTLESS = {"model_ema." + key.replace(".", ""): value for key, value in MEAN.items()}
COUNTERS = {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(7)}


def saved(folder: Path, content: Any, name: str = "file.pth", **options: Any) -> Path:
    torch.save(content, folder / name, **options)
    return folder / name


def value_of(path: Path, weights: Any = "auto") -> tuple[float, str]:
    """The value of the weights that were taken, and what they are said to be."""
    checkpoint = read_checkpoint(path, weights)
    assert checkpoint.state.keys() == RAW.keys()
    assert {key: value.shape for key, value in checkpoint.state.items()} == {
        key: value.shape for key, value in RAW.items()
    }
    return float(checkpoint.state["conv.0.weight"][0, 0]), checkpoint.weights


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."],
)
@pytest.mark.parametrize("nests", [0, 1, 2])
@pytest.mark.parametrize("inner", [False, True])
def test_wrappers_and_nests_fall_away(tmp_path: Path, prefix: str, nests: int, inner: bool) -> None:
    content: Any = {prefix + key: value for key, value in RAW.items()}
    if inner:  # one compiled submodule
        content = {k.replace("conv.", "conv._orig_mod."): v for k, v in content.items()}
    for _ in range(nests):
        content = {"state_dict": content, "epoch": 3}
    path = saved(tmp_path, content)
    assert value_of(path) == (1, "unmarked")
    assert read_checkpoint(path).ignored == ["epoch"] * nests


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": RAW, "ema": MEAN},
        {"state_dict": RAW, "ema": {"state_dict": MEAN}},
        {"state_dict": RAW, "ema_state_dict": MEAN, "optimizer": {"lr": 1}},
        {"params": RAW, "params_ema": MEAN},
        {"model": RAW, "model_ema": {"module." + k: v for k, v in MEAN.items()}},
        {"state_dict": {"params": RAW, "params_ema": MEAN}},
        {"state_dict": {**RAW, **DOTLESS, **COUNTERS}},
        {"state_dict": {**{"module." + k: v for k, v in RAW.items()}, **DOTLESS, **COUNTERS}},
        {**RAW, **DOTLESS, **COUNTERS},
        {
            "conv._orig_mod.0.weight": RAW["conv.0.weight"],
            "conv.0.bias": RAW["conv.0.bias"],
            "model_ema.conv_orig_mod0weight": MEAN["conv.0.weight"],
            "model_ema.conv0bias": MEAN["conv.0.bias"],
        },
    ],
)
def test_the_average_is_taken_where_there_is_one(tmp_path: Path, content: Any) -> None:
    path = saved(tmp_path, content)
    assert value_of(path) == (2, "ema")
    assert value_of(path, "ema") == (2, "ema")
    assert value_of(path, "raw") == (1, "raw")
    assert "the raw weights" in read_checkpoint(path).ignored
    assert "the averaged weights" in read_checkpoint(path, "raw").ignored


@pytest.mark.parametrize("content", [{"ema": MEAN}, {"params_ema": MEAN, "step": 1}])
def test_a_file_of_averages_alone(tmp_path: Path, content: Any) -> None:
    path = saved(tmp_path, content)
    assert value_of(path) == (2, "ema")
    with pytest.raises(TadsrError, match="averaged weights alone"):
        read_checkpoint(path, "raw")


def test_a_file_that_does_not_say_holds_unmarked_weights(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": OrderedDict(RAW), "ema": {}})
    assert value_of(path, "raw") == (1, "unmarked")
    with pytest.raises(TadsrError, match=r"no averaged weights.*auto"):
        read_checkpoint(path, "ema")
    with pytest.raises(ConfigError, match="weights 'mean'"):
        read_checkpoint(path, "mean")  # type: ignore[arg-type]


def test_averages_of_parameters_are_completed_by_stored_buffers_alone(tmp_path: Path) -> None:
    mask = {"layer.attn_mask": torch.zeros(1)}
    path = saved(
        tmp_path, {"state_dict": {**RAW, **mask}, "ema": {"conv.0.bias": MEAN["conv.0.bias"]}}
    )
    assert read_checkpoint(path).state.keys() == {"conv.0.bias", "layer.attn_mask"}


def test_an_average_of_no_weight_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {**RAW, **DOTLESS, "model_ema.strangerweight": torch.zeros(1)})
    with pytest.raises(TadsrError, match="no raw weight: strangerweight;"):
        read_checkpoint(path)
    assert value_of(path, "raw") == (1, "raw")


def test_averages_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    state = {"a.1.1": torch.zeros(1), "a.11": torch.zeros(1), "model_ema.a11": torch.zeros(1)}
    with pytest.raises(TadsrError, match=r"a\.1\.1 and a\.11 are the same without dots"):
        read_checkpoint(saved(tmp_path, state))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_single_precision(tmp_path: Path, kind: torch.dtype) -> None:
    index = torch.arange(3)
    content = {**{key: value.to(kind) for key, value in RAW.items()}, "index": index}
    state = read_checkpoint(saved(tmp_path, content)).state
    assert state["conv.0.weight"].dtype == torch.float32
    assert state["index"].dtype == torch.int64


def test_what_is_no_tensor_among_the_weights_is_listed(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": {**RAW, "epoch": 3, "note": "x"}})
    with pytest.raises(TadsrError, match=r"no tensors: epoch \(int\), note \(str\);"):
        read_checkpoint(path)


def test_the_same_weight_twice_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {**RAW, "module.conv.0.bias": torch.zeros(2)})
    with pytest.raises(TadsrError, match=r"conv\.0\.bias is there twice"):
        read_checkpoint(path)


def test_legacy_files_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": RAW}, _use_new_zipfile_serialization=False)
    assert not path.read_bytes().startswith(b"PK")
    assert value_of(path) == (1, "unmarked")


@pytest.mark.parametrize("kept", [0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("form", ["zip.pth", "legacy.pth", "tensors.safetensors"])
def test_a_truncated_file_is_one_clear_line(tmp_path: Path, form: str, kept: float) -> None:
    path, state = tmp_path / form, {"a": torch.zeros(500), "b": torch.ones(500)}
    if form.endswith("safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form.startswith("zip"))
    read_checkpoint(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(TadsrError, match=r"truncated, damaged.*bytes.*download it again") as info:
        read_checkpoint(path)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)


class Bomb:
    """Would run a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused_and_says_what(tmp_path: Path, legacy: bool) -> None:
    marker = tmp_path / "ran"
    options = {"_use_new_zipfile_serialization": not legacy}
    bomb = saved(tmp_path, {"state_dict": RAW, "extra": Bomb(marker)}, **options)
    with pytest.raises(TadsrError, match=r"needs 'posix\.mkdir' beyond plain tensors"):
        read_checkpoint(bomb)
    assert not marker.exists()
    settings = saved(tmp_path, {"state_dict": RAW, "args": argparse.Namespace(lr=1)}, **options)
    with pytest.raises(TadsrError, match=r"needs 'argparse\.Namespace'.*save its state dict alone"):
        read_checkpoint(settings)


def test_other_files_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "page.pth").write_text("<html>404</html>")
    (tmp_path / "page.safetensors").write_text("<html>404</html>")
    (tmp_path / "new.pth").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    saved(tmp_path, [1, 2], "list.pth")
    names = ["folder.pth", "page.pth", "page.safetensors", "new.pth", "list.pth", "none.pth"]
    for name in names:
        with pytest.raises(TadsrError, match=name) as info:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(info.value)
