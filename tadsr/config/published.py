"""The published models by name: what a denoiser needs beside its weights.

Facts of the releases that settings are checked against; where the files are is in
`tadsr.weights.catalog`. Marked [i]: inferred by us, not stated in a paper or configuration we know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PublishedModel:
    """A released denoiser: its codec, its schedule, and how it runs."""

    codec: str
    """Catalogue name of the codec's weights."""
    network: str
    """Name in `NETWORKS`, for estimates before the weights are here."""
    schedule: dict[str, Any]
    """Arguments of `ResShiftScheduler`."""
    scale: int
    """HR pixels per LR pixel: 4, or 1 for face restoration."""
    steps: int
    """Steps it runs in; 1 for students."""


_COMMON = {"kappa": 2.0, "etas_end": 0.99, "power": 0.3, "prediction_type": "sample"}
_S15 = {"num_train_timesteps": 15, "min_noise_level": 0.04, **_COMMON}
# ResShift's journal version: four steps, higher minimal noise.
_S4 = {"num_train_timesteps": 4, "min_noise_level": 0.2, **_COMMON}
# SinSR and TAD-SR cap the first sqrt_eta by sqrt(0.001), which changes this schedule alone.
_S4_CAPPED = {**_S4, "cap_s0": True}

VQ_F4 = "autoencoder-vq-f4"
VQ_F8_FACE = "ffhq512-vq-f8-dim8-face"

PUBLISHED: dict[str, PublishedModel] = {
    "resshift-realsrx4-s15-v1": PublishedModel(VQ_F4, "paper", _S15, 4, 15),
    "resshift-realsrx4-s15-v2": PublishedModel(VQ_F4, "paper", _S15, 4, 15),
    "resshift-realsrx4-s4-v3": PublishedModel(VQ_F4, "paper", _S4, 4, 4),
    "resshift-bicsrx4-s4": PublishedModel(VQ_F4, "paper", _S4, 4, 4),  # schedule [i]
    "resshift-faceir-s4": PublishedModel(VQ_F8_FACE, "paper", _S4, 1, 4),
    "sinsr-v1": PublishedModel(VQ_F4, "paper", _S15, 4, 1),
    "sinsr-v2": PublishedModel(VQ_F4, "paper", _S15, 4, 1),
    "tad-sr": PublishedModel(VQ_F4, "paper", _S15, 4, 1),
    "tad-faceir": PublishedModel(VQ_F8_FACE, "paper", _S4_CAPPED, 1, 1),
}
"""Denoisers by catalogue name."""
