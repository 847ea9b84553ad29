"""Which papers an experiment rests on, and their BibTeX entries (`reports/reference`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from tadsr.errors import TadsrError
from tadsr.plan.sources import REFERENCE
from tadsr.report.content import ReportContent

BIBLIOGRAPHY = REFERENCE / "references.bib"

ALWAYS = ("he2024tadsr", "yue2023resshift", "liu2021swin", "holm1979", "chen2022pyiqa",
          "vonplaten2022diffusers")  # fmt: skip
"""Of the method, its teacher and network, the verdicts, and the libraries."""

METRICS = {"ssim": "wang2004ssim", "lpips": "zhang2018lpips", "clipiqa": "wang2023clipiqa",
           "musiq": "ke2021musiq", "niqe": "mittal2013niqe", "fid": "heusel2017fid",
           "dists": "ding2022dists"}  # fmt: skip
"""By name in pyiqa. PSNR needs none."""

PRESETS = {
    "set5": ("bevilacqua2012set5",), "set14": ("zeyde2012set14",), "realsr": ("cai2019realsr",),
    "realsr-lr": ("cai2019realsr",), "realset65": ("yue2023resshift",),
    "imagenet-test": ("yue2023resshift", "deng2009imagenet"), "div2k": ("agustsson2017div2k",),
    "drealsr": ("wei2020drealsr",), "celeba-test": ("liu2015celeba",),
    "lfw-test": ("huang2007lfw",), "webphoto-test": ("wang2021gfpgan",),
    "wider-test": ("yang2016wider", "zhou2022codeformer"),
}  # fmt: skip

DEGRADATIONS = {"realesrgan": "wang2021realesrgan", "imagenet_test": "yue2023resshift",
                "face": "zhou2022codeformer"}  # fmt: skip


def cited(content: ReportContent) -> list[str]:
    """Keys of the papers that this experiment uses, sorted."""
    return sorted({*ALWAYS, *_of_data(content), *_of_models(content), *_of_metrics(content)})


def _of_metrics(content: ReportContent) -> Iterator[str]:
    for spec in content.metrics:
        if spec.pyiqa in METRICS:
            yield METRICS[spec.pyiqa]


def _of_data(content: ReportContent) -> Iterator[str]:
    for spec in content.experiment.data.all().values():
        yield from PRESETS.get(spec.preset or "", ())
        if spec.degradation in DEGRADATIONS:
            yield DEGRADATIONS[spec.degradation]


def _of_models(content: ReportContent) -> Iterator[str]:
    experiment = content.experiment
    if "bicubic" in content.baselines:
        yield "keys1981cubic"
    if experiment.teacher.codec.kind == "vq":
        yield "esser2021taming"
    cells = [content.cell(variant) for variant in experiment.variants]
    distilled = [cell.student.losses.score_distillation for cell in cells]
    if any(loss is not None and loss.weight and loss.reference == "noise" for loss in distilled):
        yield "poole2023dreamfusion"
    if any(name.startswith("sinsr") for name in (*content.baselines, *content.variants)):
        yield "wang2024sinsr"


@lru_cache(maxsize=1)
def entries() -> dict[str, str]:
    """Every BibTeX entry by its key, in the order of the file."""
    text = BIBLIOGRAPHY.read_text(encoding="utf-8")
    found = {}
    for entry in re.split(r"\n(?=@)", text.strip()):
        match = re.match(r"@\w+{([^,\s]+),", entry)
        if match is None:
            raise TadsrError(f"{BIBLIOGRAPHY}: not a BibTeX entry: {entry.splitlines()[0]}")
        found[match[1]] = entry.strip()
    return found


def bibliography(content: ReportContent) -> str:
    """The BibTeX file of an experiment."""
    known = entries()
    return "\n\n".join(known[key] for key in cited(content)) + "\n"
