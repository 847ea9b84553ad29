"""`tadsr weights`: names, verification, import and pipelines, on files of the published formats."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.io import loadmat, savemat

from tadsr.cli import main
from tadsr.diffusion import ResShiftScheduler
from tadsr.pipeline import TADSRPipeline
from tadsr.weights import status

UNET, CODEC = "golden/unet_swin.state_dict.safetensors", "golden/vq_f4.state_dict.safetensors"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("TADSR_WEIGHTS_MIRROR", raising=False)
    return tmp_path / "weights"


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def put(home: Path, shared: Path) -> None:
    """Small networks under the names of the published ones."""
    (home / "tadsr").mkdir(parents=True)
    for source, name in ((UNET, "SinSR_v1.pth"), (CODEC, "autoencoder_vq_f4.pth")):
        torch.save({"state_dict": load_file(shared / source)}, home / "tadsr" / name)


LOAD = """
import sys, torch
from safetensors.torch import load_file, save_file
from tadsr import TADSRPipeline
pipe = TADSRPipeline.from_pretrained(sys.argv[1])
image = torch.linspace(0, 1, 3 * 16 * 20).reshape(3, 16, 20)
save_file({"image": pipe(image, output_type="pt").images[0]}, sys.argv[2])
"""


def test_a_published_model_becomes_a_pipeline_of_its_schedule(
    home: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(home, shared)
    assert main(["weights", "pipeline", "SinSR_v1.pth", str(tmp_path / "by-name")]) == 0
    assert "--model" in capsys.readouterr().out
    imported = [str(tmp_path / "unet"), str(tmp_path / "codec")]
    for kind, source, dest in zip(("swin-unet", "vq"), (UNET, CODEC), imported, strict=True):
        assert main(["weights", "import", "--kind", kind, str(shared / source), dest]) == 0
    arguments = ["--unet", imported[0], "--codec", imported[1], "--schedule", "sinsr-v1"]
    assert main(["weights", "pipeline", *arguments, str(tmp_path / "by-path")]) == 0
    outputs = []
    for name in ("by-name", "by-path"):
        command = [sys.executable, "-c", LOAD, str(tmp_path / name), str(tmp_path / f"{name}.st")]
        subprocess.run(command, check=True, capture_output=True)
        outputs.append(load_file(tmp_path / f"{name}.st")["image"])
    assert outputs[0].shape == (3, 64, 80)
    assert torch.equal(*outputs)
    scheduler = TADSRPipeline.from_pretrained(tmp_path / "by-name").scheduler
    assert torch.equal(scheduler.sqrt_etas, ResShiftScheduler().sqrt_etas)


def test_a_folder_in_use_is_not_touched(
    home: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(home, shared)
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "mine.txt").write_text("mine")
    assert main(["weights", "pipeline", "sinsr-v1", str(tmp_path / "dest")]) == 2
    assert "in use" in line_of(capsys)
    arguments = ["--kind", "vq", str(shared / CODEC), str(tmp_path / "dest")]
    assert main(["weights", "import", *arguments]) != 0
    assert str(tmp_path / "dest") in line_of(capsys)
    assert [path.name for path in (tmp_path / "dest").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pipeline", "DEST"], "--unet"),
        (["pipeline", "sinsr-v3", "DEST"], "sinsr-v"),
        (["pipeline", "sinsr-v1", "DEST"], "tadsr weights fetch sinsr-v1"),
        (["pipeline", "--unet", "a.pth", "DEST"], "--schedule"),
        (["pipeline", "--unet", "a.pth", "--schedule", "tad-sr", "DEST"], "a.pth"),
        (["import", "--kind", "vq", "none.pth", "DEST"], "none.pth"),
        (["import", "--kind", "vq", "none.pth", "DEST", "--set", "x"], "--set x"),
        (["fetch", "sinsr"], "sinsr-v"),
        (["fetch", "TAD-SR.pth"], "tad-sr"),
        (["verify", "nothing"], "nothing"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = tmp_path / "dest"
    assert main(["weights", *(str(dest) if a == "DEST" else a for a in arguments)]) != 0
    assert words in line_of(capsys)
    assert not dest.exists()


def test_a_key_renamed_is_named(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = load_file(shared / UNET)
    state["middle_block.0.in_layers.9.bias"] = state.pop("middle_block.0.in_layers.2.bias")
    save_file(state, tmp_path / "renamed.safetensors")
    source, dest = str(tmp_path / "renamed.safetensors"), str(tmp_path / "dest")
    assert main(["weights", "import", "--kind", "swin-unet", source, dest]) == 1
    error = line_of(capsys)
    assert "middle_block.0.in_layers.9.bias" in error
    assert "middle_block.0.in_layers.2.bias" in error


def test_a_recorded_digest_tells_another_file(
    home: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(home, shared)
    assert main(["weights", "verify", "sinsr-v1"]) == 0
    assert "nothing to compare with" in capsys.readouterr().out
    digest = {"sha256": "0" * 64, "date": "2026-01-02"}
    record = {"recorded": {"tadsr/SinSR_v1.pth": digest}}
    (home / "tadsr-weights.json").write_text(json.dumps(record))
    assert main(["weights", "verify", "SinSR_v1"]) == 1
    captured = capsys.readouterr()
    assert "2026-01-02" in captured.out
    assert "sinsr-v1" in captured.err
    assert "recorded on 2026-01-02" in str(status("sinsr-v1"))


def test_the_list_says_what_is_known_of_each_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list"]) == 0
    printed = capsys.readouterr().out.splitlines()
    lines = {line.split()[0]: line for line in printed if line}
    assert "official sha256 unknown" in lines["sinsr-v1"]
    assert "known by its first 8" in lines["musiq-koniq"]
    assert "sha256 known " in lines["clip-rn50"]


@pytest.fixture
def installed(home: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store with LPIPS and NIQE, AlexNet's file being another than the official one."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    script = shared / "weights" / "install_metric_weights.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(home)])
    with contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(str(script), run_name="__main__")
    return home


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Metric to what `tadsr weights list` says of it."""
    capsys.readouterr()
    assert main(["weights", "list"]) == 0
    metrics = capsys.readouterr().out.split("\nfile ")[0]
    return {line.split()[0]: line for line in metrics.splitlines()[3:] if line}


def test_each_metric_says_what_it_needs_and_if_its_tensors_are_right(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listed(capsys)
    assert "ready, needs no weights" in before["psnr"]
    assert "alexnet, lpips-alex " in before["lpips"]
    assert "not looked at yet (tadsr weights verify)" in before["lpips"]
    assert "missing: musiq-koniq; tadsr weights fetch" in before["musiq"]
    assert main(["weights", "verify"]) == 0
    said = capsys.readouterr().out
    assert "  lpips: the published tensors (856f0fcd3565)" in said
    assert "  niqe: the published tensors (67189960af7e)" in said
    assert "  musiq: missing: " in said
    assert "  alexnet: sha256 known by its first 8, and this is another file, with the same" in said
    assert "  lpips-alex: sha256 known, and this is it" in said
    assert "  not here: musiq-koniq, clip-rn50" in said
    after = listed(capsys)
    assert "ready, the published tensors (seen " in after["lpips"]
    assert "ready, the published tensors (seen " in after["niqe"]


def test_other_tensors_are_found_and_an_earlier_note_is_not_believed(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "verify", "niqe"]) == 0
    path = installed / "hub" / "pyiqa" / "niqe_modelparameters.mat"
    values = loadmat(path)
    changed = {key: values[key] for key in ("mu_prisparam", "cov_prisparam")}
    savemat(path, {**changed, "mu_prisparam": changed["mu_prisparam"] + 1e-9})
    assert "not looked at yet" in listed(capsys)["niqe"]
    assert main(["weights", "verify", "niqe"]) == 1
    captured = capsys.readouterr()
    assert "niqe: UNVERIFIED: its tensors (" in captured.out
    assert "not what they should be: niqe" in captured.err
    assert "here, UNVERIFIED" in listed(capsys)["niqe"]


def test_metrics_are_fetched_and_verified_by_their_own_names(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "fetch", "lpips"]) == 0
    assert capsys.readouterr().out.count("here: ") == 2
    assert main(["weights", "verify", "psnr"]) == 0
    assert "psnr: needs no weights" in capsys.readouterr().out


def test_the_list_needs_no_torch() -> None:
    code = "import sys; from tadsr.cli import main; main(['weights', 'list']); "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
