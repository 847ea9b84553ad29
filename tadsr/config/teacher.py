"""Settings of the teacher: `teacher.*` in an experiment file, and the named network sizes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tadsr.config.base import Config, Positive, PositiveFloat, Weight, mistake_at
from tadsr.config.published import PUBLISHED
from tadsr.config.student import TeacherTrainingSpec
from tadsr.errors import nearest


class NetworkSpec(Config):
    """Size of the SwinUNet2DModel; teacher, student and discriminator features share it."""

    model_channels: Positive
    channel_mult: tuple[Positive, ...] = Field(strict=False, min_length=1)
    num_res_blocks: Positive
    attention_resolutions: tuple[Positive, ...] = Field(strict=False)
    num_head_channels: Positive
    swin_depth: Positive
    swin_embed_dim: Positive
    window_size: Positive
    mlp_ratio: PositiveFloat


def _network(
    channels: int,
    mult: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    head: int,
    depth: int,
    embed: int,
    window: int,
    mlp: float,
) -> NetworkSpec:
    return NetworkSpec(
        model_channels=channels,
        channel_mult=mult,
        num_res_blocks=blocks,
        attention_resolutions=attention,
        num_head_channels=head,
        swin_depth=depth,
        swin_embed_dim=embed,
        window_size=window,
        mlp_ratio=mlp,
    )


NETWORKS: dict[str, NetworkSpec] = {
    #                  width mult          blocks attention         head depth embed window mlp
    "tiny":  _network(  64, (1,),            1, (),                 32,   2,   32,   8,   2.0),
    "small": _network(  96, (1, 2),          1, (16, 8),            24,   2,   96,   8,   4.0),
    "paper": _network( 160, (1, 2, 2, 4),    2, (64, 32, 16, 8),    32,   2,  192,   8,   4.0),
}  # fmt: skip
"""Named network sizes; attention_resolutions count latent pixels of a training crop."""


class CodecSpec(Config):
    """What turns images into latents."""

    kind: Literal["pixel_unshuffle", "vq"] = "pixel_unshuffle"
    """`pixel_unshuffle`: lossless, without weights. `vq`: a frozen VQ autoencoder."""
    weights: str | None = None
    """Of `vq`: a name such as autoencoder-vq-f4 (`tadsr weights list`), or a path."""
    scaling_factor: PositiveFloat = 4.0
    """Factor on the latents, so that the published kappa does not drown them; 1 for `vq`."""

    @model_validator(mode="before")
    @classmethod
    def _published_scale(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("kind") == "vq":
            return {"scaling_factor": 1.0, **data}
        return data

    @model_validator(mode="after")
    def _complete(self) -> CodecSpec:
        if self.kind == "vq" and self.weights is None:
            raise ValueError("kind 'vq' needs 'weights', such as autoencoder-vq-f4")
        if self.kind == "pixel_unshuffle" and self.weights is not None:
            raise ValueError("kind 'pixel_unshuffle' has no weights; leave 'weights' out")
        return self


class ScheduleSpec(Config):
    """ResShift's noise schedule (arXiv 2307.12348, section 2); defaults are the published ones."""

    num_train_timesteps: int = Field(default=15, ge=2)
    kappa: PositiveFloat = 2.0
    min_noise_level: PositiveFloat = 0.04
    etas_end: PositiveFloat = 0.99
    """The last sqrt_eta, under its published name."""
    power: PositiveFloat = 0.3
    cap_s0: bool = False
    """Cap the first sqrt_eta by sqrt(0.001), as SinSR and TAD-SR do."""
    prior_noise_scale: Weight = 1.0
    """Factor on the noise of x_T; 1 in the papers."""
    prediction_type: Literal["sample", "residual", "preconditioned"] = "residual"
    """What the network puts out. `sample` as published; `residual` starts at bicubic; and
    `preconditioned` at the best linear estimate (EDM), which suits small networks best."""


class TeacherSpec(Config):
    """The ResShift teacher, trained here or published. Variants never change it."""

    weights: str | None = None
    """A published teacher by name, such as resshift-realsrx4-s15-v1, or the folder of a saved
    pipeline; then nothing is trained, and network, codec and schedule are its own: another
    schedule or scaling factor beside the folder of a saved pipeline is an error."""
    network: NetworkSpec = NETWORKS["tiny"]
    codec: CodecSpec = CodecSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    training: TeacherTrainingSpec = TeacherTrainingSpec()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Names become the settings they stand for, so that a frozen file says everything."""
        if not isinstance(data, dict):
            return data
        data = _published(data)
        if isinstance(data.get("network"), str):
            name = data["network"]
            if name not in NETWORKS:
                raise mistake_at(
                    "network", f"unknown network '{name}': {nearest(name, list(NETWORKS))}"
                )
            return {**data, "network": NETWORKS[name].model_dump(mode="json")}
        return data

    @property
    def imported(self) -> bool:
        """Whether the teacher comes from a file instead of a training."""
        return self.weights is not None


def _published(data: dict[str, Any]) -> dict[str, Any]:
    """The settings of a published teacher filled in where the file leaves them open."""
    name = data.get("weights")
    if not isinstance(name, str) or "/" in name:
        return data
    if name not in PUBLISHED:
        raise mistake_at(
            "weights", f"unknown teacher '{name}': {nearest(name, list(PUBLISHED))}; the folder "
            "of a saved pipeline is given as a path with a slash",
        )  # fmt: skip
    model = PUBLISHED[name]
    network = NETWORKS[model.network].model_dump(mode="json")
    codec = {"kind": "vq", "weights": model.codec, "scaling_factor": 1.0}
    _refuse_others("network", data.get("network"), (model.network, network), name)
    for key, value in (data.get("codec") or {}).items():
        _refuse_others(f"codec.{key}", value, (codec.get(key),), name)
    schedule = {**model.schedule, **data.get("schedule", {})}
    return {**data, "network": network, "codec": codec, "schedule": schedule}


def _refuse_others(key: str, given: Any, own: tuple[Any, ...], name: str) -> None:
    """A frozen file repeats the teacher's own settings; other ones would not be used."""
    if given is not None and given not in own:
        raise mistake_at(key, f"{given!r} is not that of '{name}' ({own[0]!r}); leave it out")
