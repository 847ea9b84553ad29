"""Codecs from the places a setting may name."""

from __future__ import annotations

from pathlib import Path

import torch

from tadsr.models import VQCodec
from tadsr.pipeline.published import load_codec


def test_a_folder_keeps_its_scale_unless_another_is_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = VQCodec((32, 32, 32), layers_per_block=1, num_vq_embeddings=16, scaling_factor=2.0)
    codec.save_pretrained(tmp_path)
    image = torch.rand(1, 3, 16, 16)
    expected = codec.eval().encode(image)
    torch.testing.assert_close(load_codec(tmp_path).encode(image), expected)
    scaled = load_codec(tmp_path, scaling_factor=1.0)
    torch.testing.assert_close(scaled.encode(image), expected / 2)
    torch.testing.assert_close(scaled.decode(expected / 2), codec.decode(expected))
