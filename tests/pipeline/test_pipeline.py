from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from tadsr.data.images import write_png
from tadsr.data.resize import bicubic
from tadsr.diffusion import ResShiftScheduler
from tadsr.errors import ConfigError, DataError, TadsrError
from tadsr.models import PixelUnshuffleCodec, SwinUNet2DModel, VQCodec
from tadsr.pipeline import TADSRPipeline
from tadsr.pipeline.inputs import fill_transparent, reflect


def pipeline(codec: Any = None, *, random_output: bool = True, **schedule: Any) -> TADSRPipeline:
    """A small pipeline; without `random_output` the network answers zero, which is bicubic."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = codec or PixelUnshuffleCodec()
        unet = SwinUNet2DModel(
            in_channels=codec.channels,
            out_channels=codec.channels,
            model_channels=32,
            channel_mult=(1,),
            num_res_blocks=1,
            attention_resolutions=(16,),
            sample_size=16,
            num_head_channels=16,
            swin_embed_dim=32,
        )
        if random_output:
            torch.nn.init.normal_(unet.out[2].weight, std=0.05)
    scheduler = ResShiftScheduler(
        **{"prediction_type": "residual", "sigma_r": 0.4, "num_train_timesteps": 4, **schedule}
    )
    return TADSRPipeline(unet=unet.eval(), codec=codec.eval(), scheduler=scheduler)


def vq() -> VQCodec:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        codec: VQCodec = VQCodec((32, 32, 32), layers_per_block=1, num_vq_embeddings=16)
    return codec


@pytest.fixture(scope="module")
def pipe() -> TADSRPipeline:
    return pipeline()


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (3, height, width), generator=generator)
    return levels / 255


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8, 8), (9, 17), (20, 3)])
def test_a_network_that_adds_nothing_gives_bicubic(size: tuple[int, int]) -> None:
    image = picture(*size)
    (result,) = pipeline(random_output=False)(image, output_type="pt").images
    padded = reflect(image[None], -size[0] % 8 + size[0], -size[1] % 8 + size[1])
    expected = bicubic(padded, scale=4)[0, :, : 4 * size[0], : 4 * size[1]].clamp(0, 1)
    assert_close(result, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["tensor", "batch", "array", "deep", "pil", "path", "list"])
def test_all_kinds_of_input_give_the_same_picture(
    pipe: TADSRPipeline, tmp_path: Path, kind: str
) -> None:
    image = picture(8, 12)
    array = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    write_png(tmp_path / "image.png", array)
    given: Any = {
        "tensor": image,
        "batch": image[None],
        "array": array,
        "deep": array.astype(np.uint16) * 257,
        "pil": Image.fromarray(array),
        "path": tmp_path / "image.png",
        "list": [str(tmp_path / "image.png")],
    }[kind]
    (result,) = pipe(given, output_type="pt").images
    assert_close(result, pipe(image, output_type="pt").images[0], atol=1e-6, rtol=0)


def test_all_kinds_of_output_show_the_same_picture(pipe: TADSRPipeline) -> None:
    pt, array, pil = (
        pipe(picture(5, 9), output_type=kind).images[0] for kind in ("pt", "np", "pil")
    )
    assert pt.shape == (3, 20, 36)
    assert float(pt.min()) >= 0
    assert float(pt.max()) <= 1
    assert np.array_equal(array, pt.permute(1, 2, 0).numpy())
    assert pil.size == (36, 20)
    assert np.abs(np.asarray(pil) / 255 - array).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("steps", [1, 4, None])
def test_a_list_equals_its_pictures_one_after_the_other(
    pipe: TADSRPipeline, steps: int | None, deterministic: bool
) -> None:
    settings: dict[str, Any] = {
        "num_inference_steps": steps, "deterministic": deterministic, "output_type": "pt",
    }  # fmt: skip
    images = [picture(8, 8, 1), picture(8, 8, 2), picture(5, 9, 3), picture(8, 8, 4)]
    together = pipe(images, generator=torch.Generator().manual_seed(7), **settings).images
    generator = torch.Generator().manual_seed(7)
    for image, result in zip(images, together, strict=True):
        (alone,) = pipe(image, generator=generator, **settings).images
        assert_close(result, alone, atol=1e-5, rtol=0)


def test_noise_is_that_of_the_generator_or_of_seed_12345(pipe: TADSRPipeline) -> None:
    def run(generator: torch.Generator | None) -> Tensor:
        result: Tensor = pipe(picture(8, 8), generator=generator, output_type="pt").images[0]
        return result

    assert torch.equal(run(None), run(None))
    assert torch.equal(run(None), run(torch.Generator().manual_seed(12345)))
    assert not torch.equal(run(None), run(torch.Generator().manual_seed(1)))


def test_one_generator_per_picture_makes_noise_independent_of_the_list(
    pipe: TADSRPipeline,
) -> None:
    def seeded(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    images = [picture(8, 8), picture(8, 8, 1), picture(9, 8, 2)]
    forwards = pipe(images, generator=seeded(1, 2, 3), output_type="pt").images
    backwards = pipe(images[::-1], generator=seeded(3, 2, 1), output_type="pt").images
    for one, other in zip(forwards, backwards[::-1], strict=True):
        assert_close(one, other, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="2 generators for 3 pictures"):
        pipe(images, generator=seeded(1, 2))


def test_random_steps_differ_from_deterministic_ones(pipe: TADSRPipeline) -> None:
    fixed, random = (
        pipe(picture(8, 8), 4, deterministic=choice, output_type="pt").images[0]
        for choice in (True, False)
    )
    assert (fixed - random).abs().max() > 1e-3


LOAD = """
import sys, torch
from safetensors.torch import load_file, save_file
from tadsr import TADSRPipeline
for folder in sys.argv[1:]:
    pipe = TADSRPipeline.from_pretrained(folder)
    image = load_file(folder + "/input.safetensors")["image"]
    save_file({"image": pipe(image, output_type="pt").images[0]}, folder + "/output.safetensors")
"""


def test_a_fresh_process_loads_what_was_saved(tmp_path: Path) -> None:
    expected = {}
    for name, codec in {"unshuffle": PixelUnshuffleCodec(4, 3.0), "vq": vq()}.items():
        pipe = pipeline(codec, prior_noise_scale=0.7)
        pipe.save_pretrained(tmp_path / name)
        save_file({"image": picture(8, 9)}, tmp_path / name / "input.safetensors")
        (expected[name],) = pipe(picture(8, 9), output_type="pt").images
    folders = [str(tmp_path / name) for name in expected]
    subprocess.run([sys.executable, "-c", LOAD, *folders], check=True, capture_output=True)
    for name, result in expected.items():
        assert torch.equal(load_file(tmp_path / name / "output.safetensors")["image"], result)
        assert not list((tmp_path / name).rglob("*.bin"))


def test_only_safetensors_are_loaded(tmp_path: Path) -> None:
    pipe = pipeline()
    pipe.save_pretrained(tmp_path)
    weights = tmp_path / "unet/diffusion_pytorch_model.safetensors"
    torch.save(pipe.unet.state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(TadsrError, match="cannot be loaded") as info:
        TADSRPipeline.from_pretrained(tmp_path)
    assert "\n" not in str(info.value)


def test_a_folder_without_a_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(TadsrError, match=str(tmp_path)):
        TADSRPipeline.from_pretrained(tmp_path)


def test_the_saved_layout_names_its_components(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["unet"] == ["tadsr.models.swin_unet", "SwinUNet2DModel"]
    assert index["scheduler"] == ["tadsr.diffusion.scheduler", "ResShiftScheduler"]
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"unet", "codec", "scheduler"}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(1, 8, 8), r"\(1, 8, 8\)"),
        (torch.zeros(3, 0, 8), r"\(3, 0, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((3, 8, 8), 2.0), r"to 2;.*\[0, 1\]"),
        (torch.full((3, 8, 8), float("nan")), "nan"),
        (np.zeros((8, 8, 3)), "float64"),
        (np.zeros((8, 8, 2), np.uint8), r"\(8, 8, 2\)"),
        (np.zeros((0, 8), np.uint8), r"\(0, 8\)"),
        (np.zeros((8, 8), np.int64), "int64"),
        (Image.new("F", (4, 4)), "mode F"),
        (Image.new("I", (4, 4)), "mode I"),
        ("/nowhere/image.png", "/nowhere/image.png"),
        (7, "int"),
    ],
)
def test_unusable_input_is_one_line(pipe: TADSRPipeline, image: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as info:
        pipe(image)
    assert "\n" not in str(info.value)


def levels(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_grey_stays_grey(pipe: TADSRPipeline) -> None:
    grey = levels(9, 7, 1)[:, :, 0]
    for given in (grey, grey[:, :, None], Image.fromarray(grey), grey.astype(np.uint16) * 257):
        (result,) = pipe(given).images
        assert (result.mode, result.size) == ("L", (28, 36))
        colour = pipe(np.stack([grey] * 3, axis=2)).images[0]
        assert colour.mode == "RGB"
        # Pillow's conversion sees the colours rounded first.
        assert np.abs(np.asarray(result, int) - np.asarray(colour.convert("L"), int)).max() <= 1


def test_alpha_is_enlarged_beside_the_colours(pipe: TADSRPipeline) -> None:
    rgba = levels(9, 7, 4)
    rgba[..., 3] = rgba[..., 3] // 2 + 64  # nothing wholly transparent, no overshoot
    (result,), (array,) = pipe(rgba).images, pipe(rgba, output_type="np").images
    assert result.mode == "RGBA"
    assert array.shape == (36, 28, 4)
    assert np.array_equal(np.asarray(result)[..., :3], np.asarray(pipe(rgba[..., :3]).images[0]))
    # Independent: Pillow's bicubic kernel is Matlab's, too; its border is not.
    expected = np.asarray(Image.fromarray(rgba[..., 3]).resize((28, 36), Image.Resampling.BICUBIC))
    inner = (slice(8, -8), slice(8, -8))
    difference = np.asarray(result)[..., 3].astype(int) - expected.astype(int)
    assert np.abs(difference[inner]).max() <= 1
    assert np.abs(array[..., 3] - np.asarray(result)[..., 3] / 255).max() <= 0.5 / 255 + 1e-6

    modes = {"LA": "LA", "PA": "RGBA", "La": "LA"}
    for mode, expected_mode in modes.items():
        image = Image.fromarray(rgba).convert("LA" if mode == "La" else "RGBA").convert(mode)
        assert pipe(image).images[0].mode == expected_mode


def test_what_hides_under_transparency_does_not_bleed(pipe: TADSRPipeline) -> None:
    picture = np.full((24, 24, 4), (200, 120, 40, 255), np.uint8)
    picture[:, 11:, 3] = 0
    results = []
    for hidden in ((0, 0, 0), (255, 255, 255)):
        picture[:, 11:, :3] = hidden
        results.append(np.asarray(pipe(picture).images[0]))
    assert np.array_equal(*results)
    flat = np.full((24, 24, 3), (200, 120, 40), np.uint8)
    assert np.array_equal(results[0][..., :3], np.asarray(pipe(flat).images[0]))
    assert results[0][:, :36, 3].min() == 255
    assert results[0][:, 52:, 3].max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 13), (16, 16)])
def test_holes_are_filled_from_around(shape: tuple[int, int]) -> None:
    colour = picture(*shape) / 2 + 0.25
    holes = picture(*shape, seed=1)[:1] > 0.3
    alpha = torch.where(holes, 0.0, 0.5)
    filled = fill_transparent(colour, alpha)
    if not bool((alpha > 0).any()):
        assert torch.equal(filled, colour)
        return
    visible = (alpha > 0).expand(3, -1, -1)
    assert torch.equal(filled[visible], colour[visible])
    seen = colour[:, alpha[0] > 0]
    assert bool((filled >= seen.amin(dim=1)[:, None, None] - 1e-5).all())
    assert bool((filled <= seen.amax(dim=1)[:, None, None] + 1e-5).all())


def test_files_keep_all_16_bits_and_orientation(pipe: TADSRPipeline, tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 6, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[:, :, ::-1])
    (result,) = pipe(tmp_path / "deep.png", output_type="pt").images
    (expected,) = pipe(
        torch.from_numpy(deep.astype(np.float32) / 65535).permute(2, 0, 1), output_type="pt"
    ).images
    assert_close(result, expected, atol=1e-6, rtol=0)

    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise on display
    stored = levels(9, 6, 3)
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    (turned,) = pipe(tmp_path / "turned.png").images
    assert np.array_equal(np.asarray(turned), np.asarray(pipe(np.rot90(stored, -1)).images[0]))


def test_the_colour_profile_is_kept(pipe: TADSRPipeline) -> None:
    image = Image.fromarray(levels(8, 8, 3))
    image.info["icc_profile"] = b"a profile"
    assert pipe(image).images[0].info["icc_profile"] == b"a profile"
    assert "icc_profile" not in pipe(image.convert("CMYK")).images[0].info


def test_restoration_at_scale_one_with_a_large_condition() -> None:
    """The face models: latents an eighth of the picture, the condition as large as the picture."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = VQCodec((32, 32, 32, 32), layers_per_block=1, latent_channels=8,
                        num_vq_embeddings=16)  # fmt: skip
        unet = SwinUNet2DModel(
            in_channels=8, out_channels=8, model_channels=32, channel_mult=(1,), num_res_blocks=1,
            attention_resolutions=(8,), sample_size=8, lq_size=64, num_head_channels=16,
            swin_embed_dim=32,
        )  # fmt: skip
        torch.nn.init.normal_(unet.out[2].weight, std=0.05)
    pipe = TADSRPipeline(
        unet=unet.eval(), codec=codec.eval(), scheduler=ResShiftScheduler(4), scale=1
    )
    pipe.set_progress_bar_config(disable=True)
    assert (pipe.lq_multiple, pipe.lq_cell) == (64, 8)
    images = [picture(64, 64, 1), picture(64, 64, 2), picture(1, 1), picture(50, 70)]
    for steps in (1, 4):
        together = pipe(images, steps, output_type="pt").images
        assert [tuple(one.shape) for one in together] == [tuple(one.shape) for one in images]
        assert (together[0] - together[1]).abs().max() > 1e-3  # depends on the picture
    rgba = pipe(levels(50, 70, 4)).images[0]
    assert np.array_equal(np.asarray(rgba)[..., 3], levels(50, 70, 4)[..., 3])
    tiled = pipe(images[3], 4, output_type="pt", tile_size=64).images[0]
    assert tiled.shape == (3, 50, 70)
    with pytest.raises(ConfigError, match="multiple of 8"):
        pipe(images[3], tile_size=64, tile_overlap=12)


def test_unusable_arguments_are_refused_before_any_work(pipe: TADSRPipeline) -> None:
    with pytest.raises(ConfigError, match="batch_size is 0"):
        pipe("/nowhere/image.png", batch_size=0)
    with pytest.raises(ConfigError, match="num_inference_steps is 3"):
        pipe("/nowhere/image.png", num_inference_steps=3)
    with pytest.raises(ConfigError, match="output_type 'jpg'"):
        pipe("/nowhere/image.png", output_type="jpg")


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="factor 2"):
        pipeline(PixelUnshuffleCodec(2))


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_reflection_equals_that_of_numpy(length: int) -> None:
    line = torch.arange(float(length))
    extended = reflect(line[None, None, None], 1, 20)[0, 0, 0]
    expected = np.pad(line.numpy(), (0, 20 - length), mode="reflect" if length > 1 else "edge")
    assert extended.tolist() == expected.tolist()
