from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tadsr.errors import ConfigError, TadsrError
from tadsr.models import SwinUNet2DModel, VQCodec, import_checkpoint, import_swin_unet
from tests.models.test_published import network
from tests.models.test_published_vq import CODECS, made_up

FILES = {"config.json", "diffusion_pytorch_model.safetensors"}


def unet_file(folder: Path, **content: Any) -> Path:
    path = folder / "unet.pth"
    torch.save({"state_dict": network().state_dict(), **content}, path)
    return path


def test_a_denoiser_becomes_a_folder_that_loads(tmp_path: Path) -> None:
    source, dest = unet_file(tmp_path, iters=3), tmp_path / "models/unet"
    summary = import_checkpoint("swin-unet", source, dest)
    assert {path.name for path in dest.iterdir()} == FILES
    assert [path.name for path in dest.parent.iterdir()] == ["unet"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in dest.iterdir())
    loaded = SwinUNet2DModel.from_pretrained(dest, use_safetensors=True)
    state, expected = loaded.state_dict(), network().state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    tensors_sha256 = summary.pop("tensors_sha256")
    assert summary == {
        "kind": "swin-unet",
        "source": str(source),
        "dest": str(dest),
        "weights": "unmarked",
        "ignored": ["iters"],
        "config": {k: v for k, v in network().config.items() if not k.startswith("_")},
        "parameters": sum(p.numel() for p in network().parameters()),
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    json.dumps(summary)
    # The digest is of the tensors: another container has the same, another value has not.
    other = tmp_path / "unet.safetensors"
    save_file({k: v.clone() for k, v in network().state_dict().items()}, other)
    again = import_checkpoint("swin-unet", other, tmp_path / "again")
    assert again["tensors_sha256"] == tensors_sha256 != again["sha256"]
    changed = {k: v.clone() for k, v in network().state_dict().items()}
    changed["out.2.bias"][0] += 1
    save_file(changed, other)
    assert import_checkpoint("swin-unet", other, tmp_path / "c")["tensors_sha256"] != tensors_sha256


def test_the_golden_denoiser_still_computes_the_published_function(
    shared: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "unet"
    import_checkpoint("swin-unet", shared / "golden/unet_swin.state_dict.safetensors", dest)
    g = load_file(shared / "golden/unet_swin.io.safetensors")
    unet = SwinUNet2DModel.from_pretrained(dest, use_safetensors=True)
    with torch.no_grad():
        torch.testing.assert_close(unet(g["x"], g["t"], g["lq"]).sample, g["y"], atol=1e-5, rtol=0)


def test_a_codec_becomes_a_folder_that_loads(tmp_path: Path) -> None:
    source, dest = tmp_path / "vq.pth", tmp_path / "vq"
    state = made_up(**CODECS["f8, attention at the last level"])
    torch.save({"state_dict": {**state, "loss.logvar": torch.zeros(1)}}, source)
    dest.mkdir()  # an empty folder is as good as none
    summary = import_checkpoint("vq", source, dest, overrides={"scaling_factor": 0.5})
    assert {path.name for path in dest.iterdir()} == FILES
    assert summary["ignored"] == ["loss.* (1 tensors)"]
    assert summary["config"]["attention_levels"] == (3,)
    assert summary["parameters"] == sum(value.numel() for value in state.values())
    loaded = VQCodec.from_pretrained(dest, use_safetensors=True)
    assert loaded.config.scaling_factor == 0.5
    assert torch.equal(loaded.vq.quantize.embedding.weight, state["quantize.embedding.weight"])


@pytest.mark.parametrize("weights", ["auto", "raw", "ema"])
def test_the_summary_says_which_weights_were_taken(tmp_path: Path, weights: Any) -> None:
    mean = {key: value + 1 for key, value in network().state_dict().items()}
    source = unet_file(tmp_path, ema=mean)
    summary = import_checkpoint("swin-unet", source, tmp_path / "unet", weights=weights)
    assert summary["weights"] == ("raw" if weights == "raw" else "ema")
    own = SwinUNet2DModel.from_pretrained(tmp_path / "unet", use_safetensors=True)
    shift = own.state_dict()["out.2.bias"] - network().state_dict()["out.2.bias"]
    assert shift.round().tolist() == [float(weights != "raw")] * 3


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_what_is_there_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    dest = tmp_path / "unet"
    if taken == "folder":
        dest.mkdir()
        (dest / "note.txt").write_text("mine")
    else:
        dest.write_text("mine")
    with pytest.raises(TadsrError, match=r"unet: is there already; delete it or give another"):
        import_checkpoint("swin-unet", unet_file(tmp_path), dest)
    assert (dest / "note.txt" if taken == "folder" else dest).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "unet"}, "kind 'unet' is not known.*swin-unet"),
        ({"weights": "avg"}, "weights 'avg'"),
        ({"overrides": {"windowsize": 8}}, "'window_size'"),
        ({"overrides": {"window_size": 4}}, "window_size=4 contradicts .* say 8"),
    ],
)
def test_mistakes_leave_nothing_behind(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    source = unet_file(tmp_path)
    call: dict[str, Any] = {"kind": "swin-unet", "source": source, "dest": tmp_path / "d/unet"}
    with pytest.raises(ConfigError, match=words):
        import_checkpoint(**{**call, **arguments})
    assert list(tmp_path.iterdir()) == [source]


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: SwinUNet2DModel, folder: Path, **_: Any) -> None:
        (Path(folder) / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    source = unet_file(tmp_path)
    monkeypatch.setattr(SwinUNet2DModel, "save_pretrained", full)
    with pytest.raises(TadsrError, match="unet: the disk is full; free some space"):
        import_checkpoint("swin-unet", source, tmp_path / "unet")
    assert list(tmp_path.iterdir()) == [source]
    assert import_swin_unet(source).config.sample_size == 16
