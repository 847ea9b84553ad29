"""LR-PSNR: an image reduced again, against the LR image that it came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tadsr.config import Experiment
from tadsr.config.data import DatasetSpec
from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.data.images import RGB8, read_rgb, write_png
from tadsr.data.manifest import build_dataset
from tadsr.data.resize import bicubic_lr
from tadsr.errors import ConfigError, DataError
from tadsr.evaluation import Bicubic, evaluate, evaluate_dataset
from tadsr.evaluation.consistency import reduced
from tadsr.evaluation.scores import read_scores
from tadsr.seeds import numpy_generator

LR_PSNR = METRICS["lr_psnr"]


def picture(name: str, height: int = 96, width: int = 128) -> RGB8:
    """Smooth noise within a plain frame: beyond the border, resizers differ in what they assume."""
    rough = numpy_generator(0, name).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    inside = np.asarray(Image.fromarray(rough).resize((width - 48, height - 48)))
    framed = np.full((height, width, 3), 90, dtype=np.uint8)
    framed[24:-24, 24:-24] = inside
    return framed


def lr_of(hr: RGB8, scale: int = 4) -> RGB8:
    levels = torch.from_numpy(hr.copy()).permute(2, 0, 1)[None]
    return bicubic_lr(levels, scale)[0].permute(1, 2, 0).numpy()


def by_pillow(sr: RGB8, lr: RGB8) -> float:
    """The same with Pillow's resizer and the textbook's formula."""
    size = lr.shape[1], lr.shape[0]
    planes = [Image.fromarray(sr[..., c].astype(np.float32)) for c in range(3)]
    small = np.stack([np.asarray(p.resize(size, Image.Resampling.BICUBIC)) for p in planes], -1)
    error = np.mean((np.clip(small, 0, 255).astype(float) - lr) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_the_psnr_of_what_pillow_reduces(tmp_path: Path, scale: int) -> None:
    sr, lr = picture("sr", 96, 144), lr_of(picture("hr", 96, 144), scale)
    write_png(tmp_path / "sr.png", sr)
    write_png(tmp_path / "lr.png", lr)
    frame = evaluate([(tmp_path / "sr.png", None)], [LR_PSNR], lr=[tmp_path / "lr.png"])
    assert frame["value"].item() == pytest.approx(by_pillow(sr, lr), abs=0.001)
    card = frame.attrs["cards"]["lr_psnr"]
    assert "reduced to its size" in card["reference_resize"]
    assert (card["color_space"], card["border_crop"]) == ("RGB", 0)


def test_a_perfect_image_has_what_the_rounding_of_the_input_leaves() -> None:
    hr = numpy_generator(0, "hr").integers(0, 256, (256, 256, 3), dtype=np.uint8)
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1) / 255 for image in (hr, lr_of(hr))]
    frame = evaluate([(tensors[0], None)], ["lr_psnr"], lr=[tensors[1]])
    limit = 10 * np.log10(255**2 * 12)  # 58.92: an error uniform over one level
    # pyiqa adds 1e-8 to the mean squared error, which takes 0.034 dB here.
    assert frame["value"].item() == pytest.approx(limit - 0.034, abs=0.05)


def test_it_needs_the_lr_image_and_no_hr(tmp_path: Path) -> None:
    image = torch.full((3, 64, 64), 0.25)
    frame = evaluate([(image, image * 0.9)], ["psnr", "lr_psnr"])
    assert set(frame["metric"]) == {"psnr"}
    assert frame.attrs["missing"]["lr_psnr"] == (
        "not applicable: the LR images that these were made from were not given"
    )
    with pytest.raises(DataError, match="1 images and 2 LR images"):
        evaluate([(image, None)], ["lr_psnr"], lr=[image, image])
    with pytest.raises(DataError, match="no whole multiple of its LR image of 48x64"):
        evaluate([(image, None)], ["lr_psnr"], lr=[torch.zeros(3, 64, 48)])
    with pytest.raises(DataError, match="the image of 48x64 is no whole multiple"):
        reduced(np.zeros((64, 48, 3), np.uint8), np.zeros((128, 96, 3), np.uint8), "the image")


def test_an_image_that_has_lost_touch_with_its_input_scores_lower() -> None:
    hr = picture("hr")
    shifted = np.roll(hr, 4, axis=1)
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1) / 255 for image in (hr, shifted)]
    lr = torch.from_numpy(lr_of(hr).copy()).permute(2, 0, 1) / 255
    good, bad = evaluate([(t, None) for t in tensors], ["lr_psnr"], lr=[lr, lr])["value"]
    assert good > 55 > 30 > bad


@pytest.mark.parametrize("kind", ["lr_only", "folder"])
def test_a_data_set_with_and_without_hr(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    for name in ("a", "b"):
        write_png(source / f"{name}.png", picture(name))
    given = {"degradation": "bicubic"} if kind == "folder" else {}
    spec = DatasetSpec(kind=kind, path=str(source), **given)  # type: ignore[arg-type]
    build_dataset("d", spec, tmp_path / "d")
    identity = {"upscaler": "bicubic", "upscaler_content": "1", "dataset": "d",
                "dataset_content": "2"}  # fmt: skip
    outcome = evaluate_dataset(
        Bicubic, tmp_path / "d", tmp_path / "d.parquet", tmp_path / "sr",
        [METRICS["psnr"], LR_PSNR], identity, threads=1,
    )  # fmt: skip
    assert ("psnr" in outcome.missing) == (kind == "lr_only")
    scores, _ = read_scores(tmp_path / "d.parquet")
    found = scores[scores["metric"] == "lr_psnr"].set_index("image")["value"]
    assert sorted(found.index) == ["a", "b"]
    for name, value in found.items():
        sr, lr = (read_rgb(tmp_path / of / f"{name}.png") for of in ("sr", "d/lr"))
        assert value == pytest.approx(by_pillow(sr, lr), abs=0.005)  # bicubic blurs the frame


def test_other_metrics_of_pyiqa_may_be_compared_there(tmp_path: Path) -> None:
    spec = MetricSpec(id="lr-ssim", pyiqa="ssim", needs_reference=True, higher_is_better=True,
                      compared="lr")  # fmt: skip
    hr = picture("hr")
    pair = [torch.from_numpy(image.copy()).permute(2, 0, 1) / 255 for image in (hr, lr_of(hr))]
    assert evaluate([(pair[0], None)], [spec], lr=[pair[1]])["value"].item() > 0.99


def test_what_cannot_be_asked_for_is_one_line(tmp_path: Path) -> None:
    def experiment(metrics: list[object], scale: int = 4) -> Experiment:
        path = tmp_path / "asked.yaml"
        test = {"phone": {"kind": "lr_only", "path": str(tmp_path)}}
        data: dict[str, object] = {"test": test, "scale": scale}
        if scale == 1:
            for split in ("train", "val"):
                data[split] = {"kind": "photos", "split": split, "degradation": "face",
                               "crop": 64}  # fmt: skip
        path.write_text(json.dumps(
            {"name": "asked", "variants": {"full": {}}, "data": data,
             "primary": [{"dataset": "phone", "metric": "lr_psnr"}],
             "evaluation": {"metrics": metrics}}))  # fmt: skip
        return Experiment.load(path)

    assert experiment(["lr_psnr"]).metric("lr_psnr").needs_hr is False
    with pytest.raises(ConfigError, match=r"lr_psnr reduces images .* data\.scale: 1"):
        experiment(["lr_psnr", "niqe"], scale=1)
    luma = {"id": "y", "pyiqa": "psnr", "needs_reference": True, "higher_is_better": True,
            "options": {"test_y_channel": True}, "grey": "levels"}  # fmt: skip
    with pytest.raises(ConfigError, match="grey: levels is for metrics on Y with an HR reference"):
        experiment(["lr_psnr", {**luma, "compared": "lr"}])
    niqe = {"id": "n", "pyiqa": "niqe", "needs_reference": False, "higher_is_better": False}
    with pytest.raises(ConfigError, match="lr is for metrics of single images with a reference"):
        experiment(["lr_psnr", {**niqe, "compared": "lr"}])
