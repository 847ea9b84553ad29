"""Import of codecs, against latent diffusion's layout written out by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from tadsr.errors import ConfigError, TadsrError
from tadsr.models import VQCodec, import_vq_f4

State = dict[str, Tensor]


class Maker:
    """Random tensors under latent diffusion's names."""

    def __init__(self) -> None:
        self.state: State = {}
        self.generator = torch.Generator().manual_seed(0)

    def conv(self, name: str, inputs: int, outputs: int, side: int = 3) -> None:
        scale = 1 / (side * math.sqrt(inputs))
        weight = torch.randn(outputs, inputs, side, side, generator=self.generator) * scale
        self.state[f"{name}.weight"] = weight
        self.state[f"{name}.bias"] = torch.randn(outputs, generator=self.generator) * 0.1

    def norm(self, name: str, channels: int) -> None:
        self.state[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels, generator=self.generator)
        self.state[f"{name}.bias"] = 0.1 * torch.randn(channels, generator=self.generator)

    def block(self, name: str, inputs: int, outputs: int) -> None:
        self.norm(f"{name}.norm1", inputs)
        self.conv(f"{name}.conv1", inputs, outputs)
        self.norm(f"{name}.norm2", outputs)
        self.conv(f"{name}.conv2", outputs, outputs)
        if inputs != outputs:
            self.conv(f"{name}.nin_shortcut", inputs, outputs, 1)

    def attention(self, name: str, channels: int) -> None:
        self.norm(f"{name}.norm", channels)
        for part in ("q", "k", "v", "proj_out"):
            self.conv(f"{name}.{part}", channels, channels, 1)

    def middle(self, name: str, channels: int, attends: bool) -> None:
        self.block(f"{name}.mid.block_1", channels, channels)
        if attends:
            self.attention(f"{name}.mid.attn_1", channels)
        self.block(f"{name}.mid.block_2", channels, channels)


def made_up(
    widths: tuple[int, ...],
    blocks: int,
    *,
    z: int,
    embed: int,
    codes: int,
    attends: tuple[int, ...] = (),
    mid: bool = True,
) -> State:
    """A codec's state dict as latent diffusion names it."""
    make, last = Maker(), len(widths) - 1
    make.conv("encoder.conv_in", 3, widths[0])
    make.conv("decoder.conv_in", z, widths[-1])
    for level, (before, width) in enumerate(pairwise((widths[0], *widths))):
        for i in range(blocks):
            make.block(f"encoder.down.{level}.block.{i}", width if i else before, width)
            if level in attends:
                make.attention(f"encoder.down.{level}.attn.{i}", width)
        if level < last:
            make.conv(f"encoder.down.{level}.downsample.conv", width, width)
        above = widths[min(level + 1, last)]
        for i in range(blocks + 1):
            make.block(f"decoder.up.{level}.block.{i}", width if i else above, width)
            if level in attends:
                make.attention(f"decoder.up.{level}.attn.{i}", width)
        if level:
            make.conv(f"decoder.up.{level}.upsample.conv", width, width)
    for name, width, outputs in (("encoder", widths[-1], z), ("decoder", widths[0], 3)):
        make.middle(name, widths[-1], mid)
        make.norm(f"{name}.norm_out", width)
        make.conv(f"{name}.conv_out", width, outputs)
    make.conv("quant_conv", z, embed, 1)
    make.conv("post_quant_conv", embed, z, 1)
    make.state["quantize.embedding.weight"] = torch.randn(codes, embed, generator=make.generator)
    return make.state


class Reference:
    """Latent diffusion's autoencoder, straight from a state dict."""

    def __init__(self, state: State) -> None:
        self.state = state

    def conv(self, name: str, x: Tensor, **options: Any) -> Tensor:
        weight = self.state[f"{name}.weight"]
        options.setdefault("padding", weight.shape[-1] // 2)
        return F.conv2d(x, weight, self.state[f"{name}.bias"], **options)

    def norm(self, name: str, x: Tensor) -> Tensor:
        own = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.group_norm(x, 32, *own, eps=1e-6)

    def block(self, name: str, x: Tensor) -> Tensor:
        h = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)))
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)))
        short = f"{name}.nin_shortcut"
        return h + (self.conv(short, x) if f"{short}.weight" in self.state else x)

    def attention(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.q.weight" not in self.state:
            return x
        h = self.norm(f"{name}.norm", x)
        q, k, v = (self.conv(f"{name}.{part}", h).flatten(2) for part in "qkv")
        weights = torch.einsum("bci,bcj->bij", q, k) / math.sqrt(x.shape[1])
        h = torch.einsum("bij,bcj->bci", weights.softmax(-1), v).reshape(x.shape)
        return x + self.conv(f"{name}.proj_out", h)

    def level(self, name: str, kind: str, x: Tensor) -> Tensor:
        """All blocks of a level, each followed by its attention, if any."""
        i = 0
        while f"{name}.{kind}.{i}.conv1.weight" in self.state:
            x = self.attention(f"{name}.attn.{i}", self.block(f"{name}.{kind}.{i}", x))
            i += 1
        return x

    def middle(self, name: str, x: Tensor) -> Tensor:
        x = self.attention(f"{name}.attn_1", self.block(f"{name}.block_1", x))
        return self.block(f"{name}.block_2", x)

    def out(self, name: str, x: Tensor) -> Tensor:
        return self.conv(f"{name}.conv_out", F.silu(self.norm(f"{name}.norm_out", x)))

    def levels(self) -> int:
        return len({key.split(".")[2] for key in self.state if key.startswith("decoder.up.")})

    def encode(self, image: Tensor) -> Tensor:
        h = self.conv("encoder.conv_in", image)
        for level in range(self.levels()):
            h = self.level(f"encoder.down.{level}", "block", h)
            if level < self.levels() - 1:
                padded = F.pad(h, (0, 1, 0, 1))
                h = self.conv(f"encoder.down.{level}.downsample.conv", padded, stride=2, padding=0)
        return self.conv("quant_conv", self.out("encoder", self.middle("encoder.mid", h)))

    def decode(self, latent: Tensor, quantise: bool) -> Tensor:
        if quantise:
            codes = self.state["quantize.embedding.weight"]
            distance = (latent[:, None] - codes[None, :, :, None, None]).square().sum(2)
            latent = codes[distance.argmin(1)].permute(0, 3, 1, 2)
        h = self.conv("decoder.conv_in", self.conv("post_quant_conv", latent))
        h = self.middle("decoder.mid", h)
        for level in reversed(range(self.levels())):
            h = self.level(f"decoder.up.{level}", "block", h)
            if level:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
                h = self.conv(f"decoder.up.{level}.upsample.conv", h)
        return self.out("decoder", h)


CODECS: dict[str, dict[str, Any]] = {
    "f4": {"widths": (32, 64, 64), "blocks": 2, "z": 3, "embed": 3, "codes": 64},
    "f8 with 8 channels": {
        "widths": (32, 32, 64, 64), "blocks": 1, "z": 8, "embed": 8, "codes": 32
    },
    "f8, attention at the last level": {
        "widths": (32, 32, 64, 64), "blocks": 2, "z": 8, "embed": 8, "codes": 32, "attends": (3,)
    },
    "attention within, other inner channels": {
        "widths": (32, 64, 32), "blocks": 1, "z": 6, "embed": 4, "codes": 32, "attends": (1, 2)
    },
    "no attention in the middle": {
        "widths": (32, 64), "blocks": 1, "z": 3, "embed": 5, "codes": 16, "mid": False
    },
}  # fmt: skip


def saved(folder: Path, state: State) -> Path:
    save_file(state, folder / "vq.safetensors")
    return folder / "vq.safetensors"


@pytest.mark.parametrize("name", CODECS)
def test_codecs_compute_what_latent_diffusion_does(tmp_path: Path, name: str) -> None:
    expected, state = CODECS[name], made_up(**CODECS[name])
    path = saved(tmp_path, state)
    codec, reference = import_vq_f4(path), Reference(state)
    assert {k: v for k, v in codec.config.items() if not k.startswith("_")} == {
        "block_out_channels": expected["widths"],
        "layers_per_block": expected["blocks"],
        "latent_channels": expected["embed"],
        "num_vq_embeddings": expected["codes"],
        "scaling_factor": 1.0,
        "z_channels": expected["z"],
        "attention_levels": expected.get("attends", ()),
        "mid_attention": expected.get("mid", True),
    }
    assert type(codec.vq).__name__ == "VQModel"
    factor = 1 << (len(expected["widths"]) - 1)
    assert (codec.spatial_factor, codec.channels) == (factor, expected["embed"])
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, 2 * factor, 3 * factor, generator=generator) * 2 - 1
    random_latent = torch.randn(2, expected["embed"], 2, 3, generator=generator)
    with torch.no_grad():
        latent = codec.encode(image)
        assert latent.shape == random_latent.shape
        assert_close(latent, reference.encode(image), atol=1e-5, rtol=0)
        for quantise in (True, False):
            own = codec.decode(random_latent, quantise=quantise)
            assert_close(own, reference.decode(random_latent, quantise), atol=1e-5, rtol=0)


def test_the_reference_itself_is_right(shared: Path) -> None:
    reference = Reference(load_file(shared / "golden/vq_f4.state_dict.safetensors"))
    g = load_file(shared / "golden/vq_f4.io.safetensors")
    assert_close(reference.encode(g["image"]), g["latent"], atol=1e-5, rtol=0)
    for name, quantise in (("quantized", True), ("unquantized", False)):
        own = reference.decode(g["random_latent"], quantise)
        assert_close(own, g[f"random_decoded_{name}"], atol=1e-5, rtol=0)


def test_the_codecs_survive_saving(tmp_path: Path) -> None:
    state = made_up(**CODECS["attention within, other inner channels"])
    codec = import_vq_f4(saved(tmp_path, state))
    codec.save_pretrained(tmp_path / "folder")
    loaded = VQCodec.from_pretrained(tmp_path / "folder", use_safetensors=True)
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded.encode(image), codec.encode(image))


def test_training_checkpoints_with_averages_import(tmp_path: Path) -> None:
    state = made_up(**CODECS["f4"])
    mean = {"model_ema." + key.replace(".", ""): value + 1 for key, value in state.items()}
    extra = {"loss.discriminator.weight": torch.zeros(2)}
    path = tmp_path / "vq.ckpt"
    torch.save({"state_dict": {**state, **extra, **mean}, "global_step": 7}, path)
    for weights, shift in (("auto", 1), ("raw", 0)):
        codes = import_vq_f4(path, weights=weights).vq.quantize.embedding.weight  # type: ignore[arg-type]
        assert torch.equal(codes, state["quantize.embedding.weight"] + shift)


F8 = "f8, attention at the last level"


@pytest.mark.parametrize("key", sorted(made_up(**CODECS[F8]))[::17])
def test_a_renamed_or_halved_tensor_is_named_as_in_the_file(tmp_path: Path, key: str) -> None:
    state = made_up(**CODECS[F8])
    whole = state.pop(key)
    with pytest.raises(TadsrError) as info:
        import_vq_f4(saved(tmp_path, {**state, key + "s": whole}))
    assert f": 1 missing: {key}; 1 unexpected: {key}s; " in str(info.value)
    if whole.shape[0] > 3:
        half = whole[: whole.shape[0] // 2].clone()
        with pytest.raises(TadsrError) as info:
            import_vq_f4(saved(tmp_path, {**state, key: half}))
        assert f": 1 of another shape: {key} ({half.shape[0]}," in str(info.value)
        assert "\n" not in str(info.value)


def test_a_code_book_is_missed_by_name(tmp_path: Path) -> None:
    state = made_up(**CODECS["f4"])
    del state["quantize.embedding.weight"]
    with pytest.raises(TadsrError, match=r"1 missing: quantize\.embedding\.weight;"):
        import_vq_f4(saved(tmp_path, state))


def test_a_codec_of_half_the_channels_is_refused_where_norms_do_not_fit(tmp_path: Path) -> None:
    state = {
        key: value[: max(1, value.shape[0] // 2)].clone()
        for key, value in made_up(**CODECS["f4"]).items()
    }
    with pytest.raises(TadsrError, match=r"vq\.safetensors: its shapes describe no network.*32"):
        import_vq_f4(saved(tmp_path, state))


def test_a_denoiser_is_no_codec(shared: Path) -> None:
    with pytest.raises(TadsrError, match="no VQ autoencoder"):
        import_vq_f4(shared / "golden/unet_swin.state_dict.safetensors")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"latent_channels": 4}, "latent_channels=4 contradicts .* say 8;"),
        ({"attention_levels": [2]}, r"attention_levels=\[2\] contradicts .* say \(3,\);"),
        ({"mid_attention": False}, "mid_attention=False contradicts .* say True;"),
        ({"scale_factor": 2.0}, "'scale_factor' is no setting.*'scaling_factor'"),
        ({"scaling_factor": "x"}, "scaling_factor=x is no value"),
    ],
)
def test_settings_that_contradict_the_file_are_named_with_its_own(
    tmp_path: Path, overrides: dict[str, Any], words: str
) -> None:
    path = saved(tmp_path, made_up(**CODECS[F8]))
    with pytest.raises(ConfigError, match=words):
        import_vq_f4(path, **overrides)


def test_the_scale_of_latents_may_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, made_up(**CODECS[F8]))
    plain = import_vq_f4(path)
    scaled = import_vq_f4(path, scaling_factor=2, attention_levels=[3], z_channels=None)
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(scaled.encode(image), 2 * plain.encode(image))


def test_a_level_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"attention_levels names 3.*0 to 2"):
        VQCodec(attention_levels=(3,))
