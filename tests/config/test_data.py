"""Settings of data sets: presets, holdouts, scales, and what each mistake looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tadsr.config import DatasetSpec, Experiment
from tadsr.config.loading import freeze
from tadsr.config.presets import PRESETS, count_remark
from tadsr.errors import ConfigError
from tadsr.files import digest_json
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "ablations" / "demo.yaml"
FOLDER: dict[str, Any] = {"kind": "folder", "path": "/x", "degradation": "bicubic"}
HELD = "kind: folder, path: /x, degradation: bicubic, crop: 64"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_means_what_it_expands_to(name: str) -> None:
    short = DatasetSpec.model_validate({"preset": name, "path": "/x", "limit": 4})
    long = DatasetSpec.model_validate({**PRESETS[name].fields(), "path": "/x", "limit": 4})
    assert (short.kind, short.count, short.degradation) == (long.kind, long.count, long.degradation)
    assert digest_json(short.settings()) == digest_json(long.settings())
    assert short.count == (PRESETS[name].count if PRESETS[name].sure else None)
    again = DatasetSpec.model_validate_json(json.dumps(short.model_dump(mode="json")))
    assert again == short


def test_a_frozen_experiment_shows_what_a_preset_stands_for() -> None:
    before = Experiment.load(DEMO, ["data.test.real={preset: realset65, path: /data/RealSet65}"])
    frozen = freeze(before)
    assert frozen["data"]["test"]["real"]["kind"] == "lr_only"
    assert frozen["data"]["test"]["real"]["count"] == 65
    assert Experiment.model_validate_json(json.dumps(frozen)) == before


def test_settings_without_the_new_keys_are_those_of_before() -> None:
    spec = DatasetSpec(split="test", degradation="bicubic", size=256)
    assert spec.settings() == {
        "kind": "photos", "split": "test", "degradation": "bicubic", "size": 256, "limit": None,
        "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"path": "/y"}, False),
        ({"count": 7}, False),
        ({"hr": "high"}, False),
        ({"allow_overlap": True}, False),
        ({"crop": 64}, False),
        ({"split": "val", "holdout": {"val": 2, "test": 3}}, True),
        ({"degradation": "realesrgan"}, True),
        ({"limit": 3}, True),
        ({"crop": 64, "skip_small": True}, True),
    ],
)
def test_settings_hold_what_determines_images(change: dict[str, Any], counts: bool) -> None:
    plain = DatasetSpec.model_validate(FOLDER).settings()
    changed = DatasetSpec.model_validate({**FOLDER, **change}).settings()
    assert (plain != changed) == counts


def test_scale_is_part_of_the_settings_where_it_is_not_the_usual_one() -> None:
    spec = DatasetSpec(kind="lr_only", path="/x")
    assert spec.settings(1) == {**spec.settings(4), "scale": 1}


def test_a_count_that_sources_disagree_on_is_a_remark() -> None:
    assert count_remark("webphoto-test", 407) == ""
    assert "407" in count_remark("webphoto-test", 469)
    assert count_remark("realset65", 3) == ""  # an error elsewhere
    assert count_remark(None, 3) == ""


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("data.test.x={preset: realset56, path: /x}", ["data.test.x.preset", "'realset65'"]),
        ("data.test.x={preset: realset65}", ["data.test.x.preset", "needs 'path'"]),
        ("data.test.x={preset: set5, path: /x, kind: folder}", ["x.kind", "has kind pairs"]),
        ("data.test.x={preset: set5, path: /x, count: 6}", ["x.count", "has count 5"]),
        (
            "data.test.x={preset: div2k, path: /x, degradation: realesrgan}",
            ["x.degradation", "has degradation bicubic"],
        ),
        ("data.test.x={preset: set5, path: /x, split: val}", ["x.split", "takes no 'split'"]),
        ("data.test.x={preset: lfw-test, path: /x}", ["x.preset", "data.scale 1", "is 4"]),
        ("data.test.x={kind: pairs, path: /x, degradation: face}", ["x", "no 'degradation'"]),
        ("data.test.x={kind: folder, path: /x, degradation: face}", ["x.degradation", "scale 1"]),
        ("data.train.degradation=fase", ["data.train.degradation", "'face'"]),
        ("data.scale=1", ["data.train.degradation", "'bicubic'", "data.scale 4"]),
        ("data.scale=2", ["data.scale", "1 or 4"]),
        ("data.train.crop=30", ["data.train.crop", "30", "multiple of 4"]),
        (f"data.train={{{HELD}, split: train}}", ["data.train", "'holdout'"]),
        (f"data.train={{{HELD}, holdout: {{val: 1, test: 1}}}}", ["data.train", "'split'"]),
        (
            f"data.train={{{HELD}, split: train, holdout: {{val: 1, test: 0.5}}}}",
            ["data.train.holdout", "both"],
        ),
        (
            f"data.train={{{HELD}, split: train, holdout: {{val: 0.5, test: 0.5}}}}",
            ["data.train.holdout", "nothing to train on"],
        ),
        (f"data.train={{{HELD}, split: train, holdout: {{val: 1, tset: 1}}}}", ["tset", "test"]),
        ("data.train.seed=5", ["data.train.seed", "targets.seed"]),
        ("data.train.allow_overlap=true", ["data.train.allow_overlap", "val or test"]),
        ("data.test.x={kind: lr_only, path: /x, hr: HR}", ["data.test.x", "no 'hr'"]),
        ("data.test.x={kind: lr_only, count: 3}", ["data.test.x", "need 'path'"]),
    ],
)
def test_a_mistake_is_one_line(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment.load(DEMO, [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_one_folder_has_one_holdout() -> None:
    parts = [
        f"data.{role}={{{HELD}, split: {role}, holdout: {{val: {val}, test: 2}}}}"
        for role, val in (("train", 1), ("val", 2))
    ]
    with pytest.raises(ConfigError, match=r"data\.val\.holdout: differs from that of data\.train"):
        Experiment.load(DEMO, parts)
    same = [part.replace("val: 2", "val: 1") for part in parts]
    assert Experiment.load(DEMO, same).data.val.holdout is not None


def test_a_face_experiment_is_of_scale_1_throughout() -> None:
    crops = [f"data.{role}={{{HELD}, split: {role}, holdout: {{val: 1, test: 1}}}}"
             .replace("bicubic", "face") for role in ("train", "val")]  # fmt: skip
    tests = "data.test={lfw: {preset: lfw-test, path: /l}, celeba: {preset: celeba-test, path: /c}}"
    experiment = Experiment.load(
        DEMO,
        [
            "data.scale=1",
            *crops,
            tests,
            "primary=[]",
            "evaluation.models=[bicubic]",
            "evaluation.metrics=[psnr, lpips]",
        ],
    )
    assert experiment.data.scale == 1
    assert experiment.data.test["celeba"].kind == "pairs"
