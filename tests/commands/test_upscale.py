"""`tadsr upscale` on files and folders, with a tiny model that works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tadsr.cli import main
from tadsr.commands import upscale
from tadsr.commands.upscale import Progress
from tadsr.commands.upscale_files import Task, find_model, plan_tasks
from tadsr.diffusion import ResShiftScheduler
from tadsr.errors import ConfigError, DataError, TadsrError
from tadsr.models import PixelUnshuffleCodec, SwinUNet2DModel
from tadsr.pipeline import TADSRPipeline
from tadsr.seeds import torch_generator
from tests.foreign import built, compact, saved


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a small pipeline in `model`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = SwinUNet2DModel(
            in_channels=48, out_channels=48, model_channels=32, channel_mult=(1,),
            num_res_blocks=1, attention_resolutions=(16,), sample_size=16, num_head_channels=16,
            swin_embed_dim=32,
        )  # fmt: skip
        torch.nn.init.normal_(unet.out[2].weight, std=0.05)
    scheduler = ResShiftScheduler(num_train_timesteps=4, prediction_type="residual", sigma_r=0.4)
    folder = tmp_path_factory.mktemp("run") / "students" / "full" / "seed-0"
    pipe = TADSRPipeline(unet=unet, codec=PixelUnshuffleCodec(), scheduler=scheduler)
    pipe.save_pretrained(folder / "model")
    return folder


def save(path: Path, height: int = 9, width: int = 7, mode: str = "RGB", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    Image.fromarray(levels).convert(mode).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Mixed sizes, formats and kinds, in sub-folders."""
    folder = tmp_path / "in"
    save(folder / "a.png", mode="RGBA")
    save(folder / "b.jpg", 12, 12, seed=1)
    save(folder / "c.v2.bmp", 12, 12, seed=2)
    save(folder / "sub" / "deep" / "a.png", mode="L", seed=3)
    save(folder / ".hidden" / "d.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def run(*arguments: Any, model: Path) -> int:
    return main(["upscale", *map(str, arguments), "--model", str(model), "--device", "cpu"])


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_is_enlarged_and_a_second_run_adds_only_what_is_missing(
    pictures: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(pictures, out, model=model) == 0
    made = content(out)
    assert sorted(made) == ["a.png", "b.png", "c.v2.png", "sub/deep/a.png"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[1/4] a  7x9 -> 28x36  ")
    assert lines[-1] == "4 done, 0 already there, 0 failed"
    kinds = {name: (Image.open(out / name).mode, Image.open(out / name).size) for name in made}
    assert kinds["a.png"] == ("RGBA", (28, 36))
    assert kinds["sub/deep/a.png"] == ("L", (28, 36))
    assert kinds["b.png"] == ("RGB", (48, 48))

    (out / "b.png").unlink()
    (out / "a.png").write_bytes(b"mine")
    assert run(pictures, out, model=model) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 done, 3 already there, 0 failed"
    assert content(out) == {**made, "a.png": b"mine"}

    assert run(pictures, out, "--overwrite", "--batch", 2, model=model) == 0
    again = content(out)
    assert again["a.png"] == made["a.png"]
    for name in made:  # batches differ by rounding at most
        images = [np.asarray(Image.open(out / name), int)]
        (out / name).write_bytes(made[name])
        images.append(np.asarray(Image.open(out / name), int))
        assert np.abs(images[0] - images[1]).max() <= 1


def test_noise_depends_on_seed_and_name_alone(pictures: Path, tmp_path: Path, model: Path) -> None:
    assert run(pictures, tmp_path / "all", model=model) == 0
    one = pictures / "b.jpg"
    assert run(one, tmp_path / "b.png", model=model) == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "all" / "b.png").read_bytes()
    assert run(one, tmp_path / "other.png", "--seed", 1, model=model) == 0
    assert (tmp_path / "other.png").read_bytes() != (tmp_path / "b.png").read_bytes()

    pipe = TADSRPipeline.from_pretrained(model / "model")
    (expected,) = pipe(one, generator=torch_generator(12345, "b")).images
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(expected))


def test_steps_tiles_and_random_steps_reach_the_pipeline(tmp_path: Path, model: Path) -> None:
    source = save(tmp_path / "x.png", 40, 30)
    variants = {
        "one": (), "chain": ("--steps", 4), "random": ("--steps", 4, "--stochastic"),
        "tiles": ("--tile", 16, "--overlap", 8),
    }  # fmt: skip
    pipe = TADSRPipeline.from_pretrained(model / "model")
    settings: dict[str, dict[str, Any]] = {
        "one": {}, "chain": {"num_inference_steps": 4},
        "random": {"num_inference_steps": 4, "deterministic": False},
        "tiles": {"tile_size": 16, "tile_overlap": 8},
    }  # fmt: skip
    seen = set()
    for name, options in variants.items():
        assert run(source, tmp_path / f"{name}.png", *options, model=model) == 0
        generator = torch_generator(12345, "x")
        (expected,) = pipe(source, generator=generator, **settings[name]).images
        result = np.asarray(Image.open(tmp_path / f"{name}.png"))
        assert np.array_equal(result, np.asarray(expected))
        seen.add(result.tobytes())
    assert len(seen) == len(variants)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "PNG"])
def test_the_suffix_says_the_format(tmp_path: Path, model: Path, suffix: str) -> None:
    target = tmp_path / "new" / f"y.{suffix}"
    assert run(save(tmp_path / "x.png"), target, model=model) == 0
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
    with Image.open(target) as image:
        assert (image.format, image.size) == (kind, (28, 36))


def test_a_bad_picture_is_reported_and_the_rest_goes_on(
    pictures: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "aa.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    damaged = (pictures / "b.jpg").read_bytes()
    # Of the same size by its header as its neighbours, so that it spoils a batch.
    (pictures / "ba.jpg").write_bytes(damaged[: len(damaged) - 100])
    assert run(pictures, tmp_path / "out", "--batch", 4, model=model) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == "4 done, 0 already there, 2 failed"
    errors = captured.err.splitlines()
    assert len(errors) == 2
    assert "aa  failed:" in errors[0]
    assert "aa.png: damaged" in errors[0]
    assert "ba.jpg: damaged" in errors[1]
    assert sorted(content(tmp_path / "out")) == ["a.png", "b.png", "c.v2.png", "sub/deep/a.png"]


def test_too_little_memory_is_a_line_with_the_remedy(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: TADSRPipeline, *_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(TADSRPipeline, "__call__", fail)
    assert run(save(tmp_path / "x.png"), tmp_path / "y.png", model=model) == 1
    assert "too large for the memory; use --tile" in capsys.readouterr().err
    assert not (tmp_path / "y.png").exists()


def test_a_bug_is_not_hidden_as_a_bad_picture(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: TADSRPipeline, *_: Any, **__: Any) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(TADSRPipeline, "__call__", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(save(tmp_path / "x.png"), tmp_path / "y.png", model=model)


def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "y.png"
    assert run(save(tmp_path / "x.png"), target, model=model) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tadsr: error: {target}: cannot be written")


def test_out_within_in_is_not_taken_for_input(pictures: Path, model: Path) -> None:
    for _ in range(2):
        assert run(pictures, pictures / "large", model=model) == 0
    assert len(content(pictures / "large")) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("in", "in"), "OUT .* is IN itself"),
        (("in", "file.txt"), "is a file, but IN"),
        (("in", "new.png"), "is a file, but IN"),
        (("in/a.png", "new"), "none of .png, .jpg"),
        (("in/a.png", "in/a.png"), "is one of the inputs"),
        (("in/a.png", "in"), "is one of the inputs"),
        (("in/sub", "in/sub/../sub"), "is IN itself"),
        (("in/a.png", "y.png", "--tile", 12), "tile_size is 12.* 8 or 16"),
        (("in/a.png", "y.png", "--tile", 16, "--overlap", 16), "tile_overlap is 16"),
        (("in/a.png", "y.png", "--steps", 3), "num_inference_steps is 3"),
        (("in/a.png", "y.png", "--batch", 0), "--batch is 0"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    pictures: Path,
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[Any, ...],
    words: str,
) -> None:
    (tmp_path / "file.txt").write_text("")
    before = content(tmp_path)
    source, target, *options = arguments
    assert run(tmp_path / source, tmp_path / target, *options, model=model) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(words, line), line
    assert content(tmp_path) == before


def test_two_inputs_of_one_output_are_refused(pictures: Path, tmp_path: Path) -> None:
    save(pictures / "a.jpg")
    with pytest.raises(ConfigError, match=r"a\.jpg and .*a\.png would both become .*a\.png"):
        plan_tasks(pictures, tmp_path / "out")


def test_an_input_folder_below_out_is_taken_but_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "lr"
    save(folder / "x.png")
    assert plan_tasks(folder, tmp_path / "set") == [
        Task(folder / "x.png", tmp_path / "set" / "x.png", "x")
    ]
    save(folder / "lr" / "x.png")  # would become lr/x.png, an input
    with pytest.raises(ConfigError, match="is one of the inputs"):
        plan_tasks(folder, tmp_path / "set")


def test_missing_and_empty_inputs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        plan_tasks(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        plan_tasks(tmp_path / "empty", tmp_path / "out")


def test_models_are_found_in_a_run_and_suggested_from_above(model: Path, tmp_path: Path) -> None:
    assert find_model(model) == find_model(model / "model") == model / "model"
    with pytest.raises(TadsrError, match=f"did you mean {model / 'model'}"):
        find_model(model.parents[1])
    with pytest.raises(TadsrError, match="no such file or folder"):
        find_model(tmp_path / "none")
    with pytest.raises(TadsrError, match="no published model: did you mean 'sinsr-v"):
        find_model(Path("sinsr-v9"))
    with pytest.raises(TadsrError, match="name a run's folder"):
        find_model(tmp_path)


def test_a_published_model_is_taken_by_name_and_runs_in_its_own_steps(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tadsr.pipeline import published

    loaded = []

    def load(name: str) -> TADSRPipeline:
        loaded.append(name)
        return TADSRPipeline.from_pretrained(model / "model")

    monkeypatch.setattr(published, "load_published", load)
    source = save(tmp_path / "x.png")
    assert run(source, tmp_path / "y.png", model=Path("resshift-realsrx4-s4-v3")) == 0
    assert loaded == ["resshift-realsrx4-s4-v3"]
    assert run(source, tmp_path / "z.png", "--steps", 4, model=model) == 0
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "z.png").read_bytes()


def test_a_checkpoint_of_another_architecture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = built(compact)
    model = saved(network, tmp_path / "compact.pth")
    source = save(tmp_path / "x.png", 40, 50, mode="RGBA")
    assert run(source, tmp_path / "y.png", model=model) == 0
    with Image.open(tmp_path / "y.png") as image:
        assert (image.mode, image.size) == ("RGBA", (200, 160))
    opaque = save(tmp_path / "opaque.png", 40, 50)
    assert run(opaque, tmp_path / "whole.png", model=model) == 0
    assert run(opaque, tmp_path / "tiled.png", "--tile", 32, "--overlap", 16, model=model) == 0
    lr = torch.from_numpy(np.array(Image.open(opaque))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = network(lr)[0].clamp(0, 1).mul(255).permute(1, 2, 0).numpy()
    for name in ("whole", "tiled"):
        result = np.asarray(Image.open(tmp_path / f"{name}.png"))
        assert np.abs(result - expected).max() < 0.51, name
    assert run(opaque, tmp_path / "z.png", "--steps", 4, model=model) == 2
    assert "RealESRGAN Compact is no diffusion model" in capsys.readouterr().err
    assert not (tmp_path / "z.png").exists()
    twice = saved(built(lambda: compact(scale=2)), tmp_path / "twice.safetensors")
    assert run(opaque, tmp_path / "twice.png", model=twice) == 0
    with Image.open(tmp_path / "twice.png") as image:
        assert image.size == (100, 80)


def test_the_time_left_goes_by_pixels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(upscale.time, "monotonic", lambda: 110.0)
    progress = Progress(total=3, pixels_left=3100, started=100.0)
    task = Task(Path("x.png"), Path("y.png"), "x")
    progress.report(task, (10, 10), (40, 40), 10)
    assert capsys.readouterr().out == "[1/3] x  10x10 -> 40x40  10.0 s  5 min left\n"
    progress.fail(task, (50, 40), "two\nlines")
    assert capsys.readouterr().err == "[2/3] x  failed: two lines\n"
    progress.report(task, (25, 40), (100, 160), 1)
    assert capsys.readouterr().out == "[3/3] x  25x40 -> 100x160  1.0 s\n"


def test_help_and_its_mistakes_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tadsr.cli import main\n"
        "try: main(['upscale', '--help'])\nexcept SystemExit: pass\n"
        "assert main(['upscale', 'a', 'b', '--model', 'none']) == 1\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
