from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from tadsr.data.resize import bicubic
from tadsr.models import LatentCodec, PixelUnshuffleCodec, VQCodec, encode_lq, import_vq_f4
from tadsr.models import codecs as module

PUBLISHED_MILLIONS = 55.32  # latent diffusion's VQ-f4


def small_vq() -> VQCodec:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec: VQCodec = VQCodec((32, 32, 64), layers_per_block=1, num_vq_embeddings=16)
        torch.nn.init.normal_(codec.vq.quantize.embedding.weight)
    codec.eval()
    return codec


def picture(height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("codec", [PixelUnshuffleCodec(), small_vq()])
def test_codecs_keep_their_contract(codec: LatentCodec) -> None:
    assert isinstance(codec, LatentCodec)
    with torch.no_grad():
        latent = codec.encode(picture())
        assert latent.shape == (2, codec.channels, 4, 6)
        assert codec.spatial_factor == 4
        assert codec.decode(latent).shape == picture().shape


@pytest.mark.parametrize("factor", [2, 4])
def test_pixel_unshuffle_is_lossless(factor: int) -> None:
    codec = PixelUnshuffleCodec(factor, scaling_factor=4.0)
    latent = codec.encode(picture())
    assert latent.shape[1] == codec.channels == 3 * factor**2
    assert_close(codec.decode(latent), picture(), atol=0, rtol=1e-6)
    assert float(latent.abs().max()) == pytest.approx(4 * float(picture().abs().max()))


def test_vq_codec_equals_the_published_one(shared: Path) -> None:
    codec = import_vq_f4(shared / "golden/vq_f4.state_dict.safetensors")
    g = load_file(shared / "golden/vq_f4.io.safetensors")
    with torch.no_grad():
        assert_close(codec.encode(g["image"]), g["latent"], atol=1e-5, rtol=0)
        assert_close(codec.decode(g["latent"]), g["decoded"], atol=1e-5, rtol=0)
        for name, quantise in (("quantized", True), ("unquantized", False)):
            own = codec.decode(g["random_latent"], quantise=quantise)
            assert_close(own, g[f"random_decoded_{name}"], atol=1e-5, rtol=0)


def test_the_published_vq_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        codec = VQCodec()
    millions = sum(p.numel() for p in codec.parameters()) / 1e6
    assert millions == pytest.approx(PUBLISHED_MILLIONS, abs=0.005)


def test_each_latent_pixel_becomes_its_nearest_code(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = small_vq()
    latent = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(module, "QUANTISED", 8)
    nearest = codec._nearest_codes(latent)
    codes = codec.vq.quantize.embedding.weight.detach()
    distance = (latent[:, None] - codes[None, :, :, None, None]).square().sum(2)
    expected = codes[distance.argmin(1)].permute(0, 3, 1, 2)
    assert torch.equal(nearest.detach(), expected)


def test_the_low_resolution_latent_is_that_of_the_enlarged_image() -> None:
    codec = PixelUnshuffleCodec()
    lq = picture(4, 6)
    z_y = encode_lq(codec, lq)
    assert z_y.shape == (2, 48, 4, 6)
    assert_close(codec.decode(z_y), bicubic(lq, scale=4))


@pytest.mark.parametrize("codec", [PixelUnshuffleCodec(2, 3.0), small_vq()])
def test_saving_and_loading_changes_no_bit(codec: PixelUnshuffleCodec, tmp_path: Path) -> None:
    codec.save_pretrained(tmp_path)
    loaded = type(codec).from_pretrained(tmp_path, use_safetensors=True)
    with torch.no_grad():
        assert torch.equal(loaded.encode(picture()), codec.encode(picture()))
