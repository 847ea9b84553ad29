"""Published test sets by name: `{preset: realset65, path: /data/RealSet65}` takes only a path.

A preset fills in `kind`, `degradation` and the number of images. Its fields are written out when
the experiment is read, so a frozen experiment and every digest see what it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tadsr.config.base import SCALE, mistake_at
from tadsr.errors import nearest


@dataclass(frozen=True)
class Preset:
    """A published test set."""

    kind: str
    count: int
    about: str
    """What the right set is, for the message about a wrong one."""
    source: str
    """Where the number of images comes from."""
    sure: bool = True
    """Whether another number is an error; if not, sources differ and it is a remark."""
    scale: int = SCALE
    degradation: str | None = None

    def fields(self) -> dict[str, Any]:
        """What it fills in of a data set's settings."""
        filled: dict[str, Any] = {"kind": self.kind, "degradation": self.degradation}
        filled["count"] = self.count if self.sure else None
        return {key: value for key, value in filled.items() if value is not None}


_FACES = "aligned faces of 512x512"

PRESETS: dict[str, Preset] = {
    "set5": Preset("pairs", 5, "Set5 with Matlab-bicubic LR", "counted in the release"),
    "set14": Preset("pairs", 14, "Set14 with Matlab-bicubic LR", "counted in the release"),
    "realsr": Preset(
        "pairs", 100, "version 3, Canon/Test/4 and Nikon/Test/4 with 50 pairs each",
        "the LR half, counted; RealSR's page says that version 3 alone has LR smaller than HR",
    ),
    "realsr-lr": Preset(
        "lr_only", 100, "the LR half of RealSR's x4 test set, as SinSR's release has it",
        "counted in the release",
    ),
    "realset65": Preset(
        "lr_only", 65, "RealSet65 of the ResShift release", "counted in the release"
    ),
    "imagenet-test": Preset(
        "pairs", 3000, "ImageNet-Test of ResShift, HR 256x256 and LR 64x64",
        "ResShift, arXiv 2307.12348",
    ),
    "div2k": Preset(
        "folder", 100, "DIV2K_valid_HR, 0801 to 0900", "DIV2K, Agustsson and Timofte, 2017",
        degradation="bicubic",
    ),
    "drealsr": Preset(
        "pairs", 93, "the x4 test set, Test_x4 with test_HR and test_LR",
        "DRealSR, Wei et al., ECCV 2020; not counted by us",
    ),
    "celeba-test": Preset(
        "pairs", 2000, f"2000 {_FACES}, as in ResShift's journal version",
        "not confirmed: VQFR's page has another CelebA-Test of 3000", sure=False, scale=1,
    ),
    "lfw-test": Preset("lr_only", 1711, _FACES, "VQFR's page of test sets", scale=1),
    "webphoto-test": Preset(
        "lr_only", 407, f"{_FACES}, as in GFP-GAN",
        "sources differ: GFP-GAN's paper says 407, VQFR's page 469", sure=False, scale=1,
    ),
    "wider-test": Preset(
        "lr_only", 970, f"{_FACES}, as in CodeFormer",
        "CodeFormer, arXiv 2206.11253; not counted by us", scale=1,
    ),
}  # fmt: skip


def expand_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a data set with its preset's fields written out.

    A frozen experiment has them already: equal values are fine, others are a mistake.
    """
    name = values["preset"]
    if name not in PRESETS:
        raise mistake_at("preset", f"unknown preset '{name}': {nearest(str(name), list(PRESETS))}")
    if values.get("path") is None:
        raise mistake_at("preset", f"preset '{name}' needs 'path', the folder of its images")
    fields = PRESETS[name].fields()
    taken = {"kind": None, "degradation": None, "split": None, "holdout": None, **fields}
    for key, value in taken.items():
        if values.get(key) not in (None, value):
            has = f"has {key} {value}" if value is not None else f"takes no '{key}'"
            raise mistake_at(key, f"preset '{name}' {has}; leave out '{key}', or the preset")
    return {**values, **fields}


def count_remark(name: str | None, found: int) -> str:
    """A remark where a set holds another number than a preset of unsure number; else empty."""
    preset = PRESETS.get(name or "")
    if preset is None or preset.sure or found == preset.count:
        return ""
    return (
        f"{found} images; preset '{name}' stands for {preset.count} ({preset.about}), but "
        f"{preset.source}: compare with published numbers of the same selection only"
    )
