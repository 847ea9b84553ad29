"""What may be asked of metrics: names, presets, mappings for pyiqa's, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.config.metrics import METRICS, metric_for
from tadsr.config.pyiqa_table import PER_SET, color_space_of, objection, pyiqa_table
from tadsr.errors import ConfigError
from tadsr.plan import Plan

GMSD = {"id": "gmsd", "pyiqa": "gmsd", "needs_reference": True, "higher_is_better": False}


def experiment(
    tmp_path: Path, metrics: list[Any], *overrides: str, **evaluation: Any
) -> Experiment:
    path = tmp_path / "asked.yaml"
    test = {"photos": {"kind": "photos", "split": "test", "degradation": "bicubic"}}
    settings = {"name": "asked", "variants": {"full": {}}, "data": {"test": test},
                "evaluation": {"metrics": metrics, **evaluation}}  # fmt: skip
    path.write_text(json.dumps(settings))
    return Experiment.load(path, overrides)


def test_the_paper_preset_is_the_published_protocol() -> None:
    luma = {"test_y_channel": True, "color_space": "ycbcr"}
    for name in ("psnr", "ssim"):
        spec = metric_for(name, "paper")
        assert (spec.pyiqa, spec.options, spec.border_crop) == (name, luma, 0)
    # LPIPS of AlexNet v0.1, CLIPIQA (not +), MUSIQ of KonIQ-10k: pyiqa's own defaults
    assert pyiqa_table()["lpips"]["metric_opts"] == {"type": "LPIPS", "net": "alex",
                                                     "version": "0.1"}  # fmt: skip
    assert pyiqa_table()["musiq"]["metric_opts"]["pretrained"] == "koniq10k"
    for name in ("lpips", "clipiqa", "musiq"):
        spec = metric_for(name, "paper")
        assert (spec.pyiqa, spec.options, spec.border_crop) == (name, {}, 0)
        assert spec.color_space == "RGB"


def test_the_classic_preset_cuts_the_experiments_scale(tmp_path: Path) -> None:
    for scale in (1, 4):
        asked = experiment(
            tmp_path, ["psnr", "ssim", "lpips", {**GMSD, "border_crop": 2}], preset="classic"
        )
        data = asked.data.model_copy(update={"scale": scale})
        specs = asked.model_copy(update={"data": data}).metrics()
        assert [spec.border_crop for spec in specs] == [scale, scale, 0, 2]
        assert [spec.grey for spec in specs] == ["levels", "levels", "rgb", "rgb"]
    assert metric_for("psnr", "classic", 3).options == METRICS["psnr"].options


def test_all_that_we_list_agrees_with_pyiqa() -> None:
    for spec in METRICS.values():
        found = objection(
            spec.pyiqa, higher_is_better=spec.higher_is_better,
            needs_reference=spec.needs_reference, per_set=spec.per_set,
        )  # fmt: skip
        assert found is None, found
        assert spec.color_space == color_space_of(spec.pyiqa, spec.options), spec.id


def test_a_mapping_is_completed_and_survives_freezing(tmp_path: Path) -> None:
    rgb = {"id": "psnr-rgb", "pyiqa": "psnr", "title": "PSNR (RGB)", "needs_reference": True,
           "higher_is_better": True, "decimals": 1}  # fmt: skip
    again = {"id": "lpips-2", "pyiqa": "lpips", "needs_reference": True, "higher_is_better": False}
    vgg = {**again, "id": "lpips-vgg", "options": {"net": "vgg"}}
    asked = experiment(tmp_path, ["psnr", GMSD, rgb, again, vgg])
    assert asked.metric("gmsd").title == "gmsd"
    assert asked.metric("gmsd").color_space == "Y of YIQ"
    assert asked.metric("psnr-rgb").color_space == "RGB"
    assert asked.metric("psnr-rgb").decimals == 1
    assert asked.metric("lpips-2").weights == METRICS["lpips"].weights
    assert asked.metric("lpips-vgg").weights == (), "other weights, which the catalogue lacks"
    frozen = json.loads(json.dumps(freeze(asked)))
    assert frozen["evaluation"]["metrics"][0] == "psnr"
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(frozen))
    assert Experiment.load(path) == asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pyiqa": "gmds"}, ["metrics.0.pyiqa", "pyiqa knows no 'gmds'", "did you mean 'gmsd'?"]),
        ({"higher_is_better": True}, ["metrics.0.higher_is_better", "lower; write false"]),
        ({"needs_reference": False}, ["metrics.0.needs_reference", "write true"]),
        ({"pyiqa": "niqe"}, ["metrics.0.needs_reference", "takes no reference", "write false"]),
        ({"pyiqa": "sfid", "needs_reference": False}, ["per set of images", "'fid-ffhq' by name"]),
        ({"per_set": True}, ["metrics.0.per_set", "by name: fid, fid-ffhq"]),
        ({"id": "psnr"}, ["'psnr' is the name of PSNR-Y", "another id"]),
        ({"id": "Upper"}, ["metrics.0.id", "'Upper'"]),
        ({"tilte": "x"}, ["unknown key 'tilte'", "did you mean 'title'?"]),
        ({"needs_reference": None}, ["metrics.0.needs_reference"]),
        ({"pyiqa": None}, ["metrics.0.pyiqa"]),
        ({"file": "mine.py"}, ["mine.py: no such file", "metrics.0.file"]),
        ({"border_crop": -1}, ["metrics.0.border_crop"]),
        ({"grey": "levels"}, ["grey: levels", "metrics on Y"]),
        ({"tensors": "abc"}, ["metrics.0.tensors"]),
    ],
)
def test_a_mapping_that_cannot_be_is_one_line(
    tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        experiment(tmp_path, [{**GMSD, **change}])
    text = str(error.value)
    assert "asked.yaml:1: evaluation" in text
    assert "\n" not in text
    assert "more)" not in text, "one mistake is not counted twice"
    for word in words:
        assert word in text, text


def test_neither_pyiqa_nor_a_file_and_no_metric_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"either 'pyiqa'.*or 'file'"):
        experiment(tmp_path, [{key: GMSD[key] for key in GMSD if key != "pyiqa"}])
    with pytest.raises(ConfigError, match="at least 1 metric"):
        experiment(tmp_path, [])
    with pytest.raises(ConfigError, match="duplicate metric 'gmsd'"):
        experiment(tmp_path, [GMSD, {**GMSD, "title": "another"}])


def test_a_known_id_may_be_written_out_as_it_is(tmp_path: Path) -> None:
    written = METRICS["niqe"].model_dump(mode="json")
    assert experiment(tmp_path, [written]).metrics() == (METRICS["niqe"],)
    with pytest.raises(ConfigError, match="whose decimals is 3, not 1"):
        experiment(tmp_path, [{**written, "decimals": 1}])


def test_set_takes_names_and_mappings(tmp_path: Path) -> None:
    asked = experiment(tmp_path, ["ssim"], "evaluation.metrics=[niqe, psnr]")
    assert [spec.id for spec in asked.metrics()] == ["niqe", "psnr"]
    vif = "{id: v, pyiqa: vif, needs_reference: true, higher_is_better: true}"
    asked = experiment(tmp_path, ["ssim"], f"evaluation.metrics=[psnr, {vif}]")
    assert asked.metric("v").pyiqa == "vif"
    wrong = "evaluation.metrics=[psnrr]"
    with pytest.raises(ConfigError, match=rf"--set {re.escape(wrong)}.*did you mean 'psnr'"):
        experiment(tmp_path, ["ssim"], wrong)


def test_a_declared_endpoint_may_be_a_metric_of_a_mapping(tmp_path: Path) -> None:
    endpoint = "primary=[{dataset: photos, metric: gmsd}]"
    assert experiment(tmp_path, [GMSD], endpoint).primary[0].metric == "gmsd"
    without_hr = "data.test={photos: {kind: lr_only}}"
    with pytest.raises(ConfigError, match="gmsd cannot be computed"):
        experiment(tmp_path, [GMSD, "niqe"], endpoint, without_hr)
    with pytest.raises(ConfigError, match="none can be computed"):
        experiment(tmp_path, [GMSD], without_hr)


def test_other_metrics_are_other_jobs_but_names_keep_their_digests(tmp_path: Path) -> None:
    def digest(metrics: list[Any]) -> str:
        experiment(tmp_path, metrics)
        return Plan.load(tmp_path / "asked.yaml").jobs["evaluate/full"].digest

    assert digest([GMSD]) == digest([{**GMSD, "title": "gmsd"}])
    assert len({digest(["psnr"]), digest([GMSD]), digest([{**GMSD, "border_crop": 1}])}) == 3
    # As before there were files, grey levels, declared tensors and comparisons with the LR.
    added = {"file", "digest", "tensors", "grey", "compared"}
    assert METRICS["psnr"].settings() == METRICS["psnr"].model_dump(mode="json", exclude=added)


def test_pyiqas_table_is_what_pyiqa_has() -> None:
    import pyiqa

    assert sorted(pyiqa_table()) == sorted(pyiqa.list_models())
    assert set(PER_SET) <= set(pyiqa_table())
