"""Tiles: their windows, and that a picture made in tiles is the picture made at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tadsr.data.images import to_uint8
from tadsr.diffusion import ResShiftScheduler
from tadsr.errors import ConfigError
from tadsr.models import PixelUnshuffleCodec
from tadsr.pipeline import TADSRPipeline
from tadsr.pipeline.tiling import Tiles, choose_overlap


class Local(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Three 3x3 convolutions that know t: seven latent pixels see each other, no more."""

    size_multiple = 2

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, channels: int = 48, sample_size: int = 16, lq_size: int | None = None):
        super().__init__()
        self.time = nn.Linear(1, 32)
        self.first = nn.Conv2d(channels + 3, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.last = nn.Conv2d(32, channels, 3, padding=1)

    def forward(self, x_t: Tensor, t: Tensor, lq: Tensor) -> Any:
        shift = self.time(t[:, None].to(x_t.dtype))[:, :, None, None]
        h = torch.tanh(self.first(torch.cat([x_t, lq], dim=1)) + shift)
        h = torch.tanh(self.second(h))
        return SimpleNamespace(sample=2 * self.last(h))


@pytest.fixture(scope="module")
def pipe() -> TADSRPipeline:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        unet = Local().eval()
    scheduler = ResShiftScheduler(num_train_timesteps=4, prediction_type="residual", sigma_r=0.4)
    made = TADSRPipeline(unet=unet, codec=PixelUnshuffleCodec(), scheduler=scheduler)
    made.set_progress_bar_config(disable=True)
    return made


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def both(pipe: TADSRPipeline, image: Tensor, tile: int, **settings: Any) -> tuple[Tensor, Tensor]:
    tiles = {"tile_size": tile, "tile_overlap": settings.pop("tile_overlap", None)}
    whole, tiled = (
        pipe(image, output_type="pt", **settings, **layout).images[0] for layout in ({}, tiles)
    )
    return whole, tiled


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(("steps", "tile", "overlap"), [(1, 32, 20), (1, 30, 21), (4, 96, 56)])
def test_tiles_of_a_local_network_leave_no_seam(
    pipe: TADSRPipeline, steps: int, tile: int, overlap: int, deterministic: bool
) -> None:
    """A step widens what a pixel depends on by 3, z_y by 2; a quarter of the overlap hides it."""
    settings = {
        "num_inference_steps": steps, "deterministic": deterministic, "tile_overlap": overlap,
    }  # fmt: skip
    whole, tiled = both(pipe, picture(101, 150), tile, **settings)
    assert (whole - tiled).abs().max() < 1e-5
    assert float(whole.std()) > 0.05  # the network does something

    # All tiles matter: with no overlap their borders do show.
    _, hard = both(pipe, picture(101, 150), tile, **{**settings, "tile_overlap": 0})
    levels = [to_uint8(image).astype(int) for image in (whole, hard)]
    assert abs(levels[0] - levels[1]).max() > 1


def test_a_tile_larger_than_the_picture_changes_nothing(pipe: TADSRPipeline) -> None:
    whole, tiled = both(pipe, picture(9, 30), 64)
    assert torch.equal(whole, tiled)
    # ... nor does one along one axis alone, away from rounding
    whole, tiled = both(pipe, picture(9, 130), 64)
    assert (whole - tiled).abs().max() < 1e-5


def test_batches_of_tiles_equal_single_pictures(pipe: TADSRPipeline) -> None:
    images = [picture(40, 70, seed) for seed in range(3)]
    settings: dict[str, Any] = {
        "num_inference_steps": 4, "deterministic": False, "tile_size": 32, "output_type": "pt",
    }  # fmt: skip
    seeds = (5, 6, 7)
    together = pipe(
        images, generator=[torch.Generator().manual_seed(s) for s in seeds], **settings
    ).images
    for image, seed, result in zip(images, seeds, together, strict=True):
        generator = torch.Generator().manual_seed(seed)
        alone = pipe(image, generator=generator, **settings).images[0]
        torch.testing.assert_close(result, alone, atol=1e-5, rtol=0)


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.integers(1, 24),
    data=st.data(),
    scale=st.sampled_from([1, 2, 4]),
)
def test_windows_sum_to_one_and_tiles_cover(
    height: int, width: int, size: int, data: st.DataObject, scale: int
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    tiles = Tiles.of(height, width, size, overlap)
    total = torch.zeros(scale * height, scale * width)
    for (rows, columns), window in zip(tiles.slices(scale), tiles.windows(scale), strict=True):
        assert 0 <= rows.start < rows.stop <= scale * height
        assert 0 <= columns.start < columns.stop <= scale * width
        assert rows.stop - rows.start == scale * min(size, height)
        assert float(window.min()) >= 0
        total[rows, columns] += window
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


def test_neighbours_share_the_overlap_and_the_last_tile_moves_inwards() -> None:
    tiles = Tiles.of(64, 100, 40, 8)
    assert tiles.rows.starts == (0, 24)
    assert tiles.columns.starts == (0, 32, 60)
    assert len(tiles) == 6
    assert list(tiles.slices(4, 2))[-1] == (slice(48, 128), slice(120, 200))


@pytest.mark.parametrize(
    ("tile", "multiple", "cell", "expected"),
    [(None, 64, 1, 0), (512, 64, 1, 64), (128, 64, 1, 64), (64, 64, 1, 16), (64, 8, 1, 16),
     (16, 8, 1, 4), (8, 8, 1, 2), (512, 512, 8, 128), (24, 8, 8, 0)],
)  # fmt: skip
def test_the_default_overlap(tile: int | None, multiple: int, cell: int, expected: int) -> None:
    assert choose_overlap(tile, None, multiple, cell) == expected


@pytest.mark.parametrize(
    ("tile", "overlap", "cell", "words"),
    [
        (4, None, 1, "tile_size is 4; .* multiples of 8 pixels, such as 8 or 16"),
        (21, None, 1, "such as 16 or 24"),
        (0, None, 1, "tile_size is 0"),
        (-8, None, 1, "tile_size is -8"),
        (16, 16, 1, "tile_overlap is 16; choose one from 0 to 15 for tiles of 16"),
        (16, -1, 1, "tile_overlap is -1"),
        (16, 3, 8, "from 0 to 8 that is a multiple of 8"),
        (None, 8, 1, "tile_overlap is 8, but there are no tiles"),
    ],
)
def test_what_does_not_suit_is_refused(
    tile: int | None, overlap: int | None, cell: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as info:
        choose_overlap(tile, overlap, 8, cell)
    assert "\n" not in str(info.value)


def test_mistakes_are_refused_before_any_picture_is_read(pipe: TADSRPipeline) -> None:
    with pytest.raises(ConfigError, match="tile_size is 33"):
        pipe("/nowhere.png", tile_size=33)
