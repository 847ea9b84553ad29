"""The DAG on a published teacher, and at scale 1: small networks under the published names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.integration

PUBLISHED = """
name: published
seeds: [0]
data:
  train: {kind: photos, split: train, degradation: realesrgan, crop: 64}
  val:   {kind: photos, split: val, degradation: realesrgan, crop: 64}
  test:
    photos: {kind: photos, split: test, degradation: bicubic, size: 64, limit: 1}
teacher: {weights: resshift-realsrx4-s15-v1}
targets: {mode: online, pairs: 8, val_pairs: 1, batch_size: 4, threads: 1}
student: {training: {images: 8, batch_size: 4}}
variants: {full: }
evaluation:
  models: [teacher-1, sinsr-v1, by-path]
  pipelines: {by-path: saved}
  metrics: [psnr, fid]
"""

SCALE_1 = """
name: restoration
seeds: [0]
data:
  scale: 1
  train: {kind: photos, split: train, degradation: face, crop: 32}
  val:   {kind: photos, split: val, degradation: face, crop: 32}
  test:
    photos: {kind: photos, split: test, degradation: face, size: 64, limit: 1}
teacher:
  network: {model_channels: 32, channel_mult: [1], num_res_blocks: 1, attention_resolutions: [8],
            num_head_channels: 16, swin_depth: 2, swin_embed_dim: 32, window_size: 8,
            mlp_ratio: 2.0}
  schedule: {num_train_timesteps: 4, cap_s0: true}
  training: {images: 64, batch_size: 8, threads: 1}
targets: {pairs: 16, val_pairs: 4, threads: 1}
student: {training: {images: 16, batch_size: 8}}
variants: {full: }
evaluation: {models: [bicubic, teacher-4], metrics: [psnr]}
"""


def tadsr(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "TADSR_WEIGHTS": str(folder / "weights"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    done = subprocess.run([sys.executable, "-m", "tadsr", *arguments], cwd=folder, env=environment,
                          text=True, capture_output=True, check=False, timeout=600)  # fmt: skip
    logs = "".join(p.read_text()[-1500:] for p in folder.glob("results/*/logs/**/*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout


def means(root: Path) -> dict[str, float]:
    frame = pd.read_parquet(root / "comparison" / "scores.parquet")
    found = frame[frame["metric"] == "psnr"].groupby("variant")["value"].mean()
    return {str(name): float(value) for name, value in found.items()}


def test_a_published_teacher_and_published_students(shared: Path, tmp_path: Path) -> None:
    store = tmp_path / "weights" / "tadsr"
    store.mkdir(parents=True)
    unet = load_file(shared / "golden/unet_swin.state_dict.safetensors")
    for name in ("resshift_realsrx4_s15_v1", "SinSR_v1"):
        wrapped = {f"module.{key}": value for key, value in unet.items()}
        torch.save({"state_dict": wrapped}, store / f"{name}.pth")
    torch.save(load_file(shared / "golden/vq_f4.state_dict.safetensors"),
               store / "autoencoder_vq_f4.pth")  # fmt: skip
    (tmp_path / "published.yaml").write_text(PUBLISHED)
    tadsr(tmp_path, "weights", "pipeline", "sinsr-v1", "saved")
    output = tadsr(tmp_path, "run", "published.yaml", "--offline")
    root = tmp_path / "results" / "published"
    scores = means(root)
    # The same weights by three ways, from the same noise.
    assert scores["teacher-1"] == scores["sinsr-v1"] == scores["by-path"]
    assert "full" in scores
    card = json.loads((root / "teacher" / "run.json").read_text())
    assert set(card["upstream"]) >= {"weights: denoiser", "weights: codec"}
    assert {"val/chain_mse", "val/bicubic_mse", "val/single_step_mse"} <= set(card["results"])
    assert [p.name for p in (root / "targets").rglob("*.safetensors")] == ["val.safetensors"]
    assert "weights 'inception-fid' are not here" in output
    assert "nothing to do" in tadsr(tmp_path, "run", "published.yaml", "--offline")


def test_restoration_at_the_same_size(tmp_path: Path) -> None:
    (tmp_path / "restoration.yaml").write_text(SCALE_1)
    tadsr(tmp_path, "run", "restoration.yaml", "--offline")
    root = tmp_path / "results" / "restoration"
    assert set(means(root)) == {"bicubic", "teacher-4", "full"}
    manifest = pd.read_parquet(root / "data" / "photos" / "manifest.parquet").iloc[0]
    assert manifest["hr_width"] == manifest["lr_width"] == 64
    assert (root / "report" / "index.html").is_file()
