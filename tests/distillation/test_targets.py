from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tadsr.config.student import TargetsSpec
from tadsr.diffusion import predict_x0, sample, trajectory
from tadsr.distillation.answers import PAIR_KEYS
from tadsr.distillation.pool import Pool, pair_order, shard_file
from tadsr.distillation.targets import make_targets, open_pool
from tadsr.errors import CorruptionError, DataError
from tadsr.pipeline import TADSRPipeline
from tadsr.training.models import load_frozen
from tests.distillation.conftest import World
from tests.tiny import TARGETS, contents, ignore


def make(world: World, folder: Path, spec: TargetsSpec = TARGETS) -> dict[str, float]:
    return make_targets(
        spec, world.teacher, world.root / "train", world.root / "val", world.data, folder,
        device="cpu", progress=ignore,
    )  # fmt: skip


def test_a_pair_is_the_teachers_chain_from_its_own_noise(world: World) -> None:
    pairs = Pool(world.pool).pairs([0, 1, 2, 3])
    pipeline = TADSRPipeline.from_pretrained(world.teacher)
    answer = sample(
        pipeline.unet, pipeline.scheduler, pairs["x_T"], pairs["z_y"], pairs["lq"],
        num_inference_steps=15,
    )  # fmt: skip
    torch.testing.assert_close(answer, pairs["z_tch"], rtol=1e-4, atol=1e-4)
    std = float(pipeline.scheduler.coefficient("noise_std", 14, pairs["x_T"]))
    noise = (pairs["x_T"] - pairs["z_y"]) / std
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    # The latents are 4 times the pixels, block by block.
    hr = torch.nn.functional.pixel_shuffle(pairs["z_0"] / 4, 4)
    lq = torch.nn.functional.interpolate(hr, scale_factor=0.25, mode="area")
    assert float((lq - pairs["lq"]).abs().mean()) < 0.1


def test_validation_start_is_the_single_step_error(world: World) -> None:
    pairs = Pool(world.pool).validation()
    pipeline = TADSRPipeline.from_pretrained(world.teacher)
    single = sample(
        pipeline.unet, pipeline.scheduler, pairs["x_T"], pairs["z_y"], pairs["lq"],
        num_inference_steps=1,
    )  # fmt: skip
    expected = float(((single - pairs["z_tch"]) ** 2).mean())
    assert world.results["val_teacher1_mse"] == pytest.approx(expected, rel=1e-4)
    assert world.results["pairs"] == len(Pool(world.pool)) == 10


def test_made_again_by_another_batch_size_it_is_the_same(world: World, tmp_path: Path) -> None:
    make(world, tmp_path, TARGETS.model_copy(update={"batch_size": 3}))
    first, second = Pool(world.pool).pairs([0, 9]), Pool(tmp_path).pairs([0, 9])
    for key in PAIR_KEYS:
        torch.testing.assert_close(first[key], second[key], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["deterministic", "stochastic"])
def test_missing_shards_are_made_again_with_the_same_bytes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setattr("tadsr.distillation.targets.SHARD_PAIRS", 4)
    spec = TARGETS.model_copy(update={"sampler": sampler})
    make(world, tmp_path, spec)
    before = contents(tmp_path)
    shards = {shard_file(0), shard_file(1), shard_file(2)}
    assert set(before) == {*shards, "val.safetensors", "spectrum.json"}
    (tmp_path / shard_file(1)).unlink()
    (tmp_path / "val.safetensors").unlink()
    (tmp_path / ".tmp-train-00001.safetensors").write_bytes(b"torn")
    make(world, tmp_path, spec)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("sampler", ["deterministic", "stochastic"])
def test_validation_pairs_have_noise_of_their_own(
    world: World, tmp_path: Path, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains: list[torch.Tensor | None] = []

    def record(*arguments: object, noise: torch.Tensor | None = None, **options: object) -> object:
        chains.append(noise)
        return trajectory(*arguments, noise=noise, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("tadsr.distillation.answers.trajectory", record)
    make(world, tmp_path, TARGETS.model_copy(update={"sampler": sampler}))
    pool = Pool(tmp_path)
    noise = [pairs["x_T"] - pairs["z_y"] for pairs in (pool.pairs([0, 1, 2, 3]), pool.validation())]
    assert all(float((a - b).abs().mean()) > 0.1 for a in noise[0] for b in noise[1])
    assert len(chains) == 4, "training pairs in three batches, and the validation pairs"
    if sampler == "stochastic":
        assert chains[0] is not None
        assert chains[3] is not None
        assert not torch.equal(chains[0], chains[3])


def test_a_mixed_start_is_a_state_of_the_same_chain(world: World, tmp_path: Path) -> None:
    starts = (3, 7, 14)
    make(world, tmp_path, TARGETS.model_copy(update={"start_timesteps": starts}))
    pairs, plain = Pool(tmp_path).pairs([0, 9]), Pool(world.pool).pairs([0, 9])
    assert all(torch.equal(pairs[key], plain[key]) for key in PAIR_KEYS), "the chain is the same"
    assert pairs["t_start"].tolist() == [list(starts)] * 2
    assert torch.equal(pairs["x_start"][:, 2], pairs["x_T"]), "the chain starts at T-1"
    pipeline = TADSRPipeline.from_pretrained(world.teacher)
    for column, t in enumerate(starts):  # from any of them the chain ends at the same answer
        x = pairs["x_start"][:, column]
        for step in range(t, -1, -1):
            with torch.no_grad():
                x_0 = predict_x0(
                    pipeline.unet, pipeline.scheduler, x, step, pairs["z_y"], pairs["lq"]
                )
            x = pipeline.scheduler.step_from_x0(
                x_0, step, x, pairs["z_y"], deterministic=True
            ).prev_sample
        torch.testing.assert_close(x, pairs["z_tch"], rtol=1e-4, atol=1e-4)


def test_another_seed_gives_other_pairs(world: World, tmp_path: Path) -> None:
    make(world, tmp_path, TARGETS.model_copy(update={"seed": 1}))
    first, second = Pool(world.pool).pairs([0]), Pool(tmp_path).pairs([0])
    noise = [pairs["x_T"] - pairs["z_y"] for pairs in (first, second)]
    assert float((noise[0] - noise[1]).abs().mean()) > 0.1


def test_order_is_a_permutation_per_epoch_and_depends_on_the_seed(world: World) -> None:
    epochs = [pair_order(0, start, 10, 10) for start in (0, 10)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    assert pair_order(0, 7, 6, 10) == epochs[0][7:] + epochs[1][:3], "whatever the batch size"
    assert pair_order(1, 0, 10, 10) != epochs[0]
    pool = Pool(world.pool)
    batch, pairs = pool.batch(0, 7, 6), pool.pairs(pair_order(0, 7, 6, 10))
    assert all(torch.equal(batch[key], pairs[key]) for key in PAIR_KEYS)


@pytest.mark.parametrize("sampler", ["deterministic", "stochastic"])
def test_online_pairs_are_the_stored_ones(world: World, tmp_path: Path, sampler: str) -> None:
    stored, online = (
        TARGETS.model_copy(update={"sampler": sampler, "mode": mode})
        for mode in ("stored", "online")
    )
    make(world, tmp_path / "stored", stored)
    assert make(world, tmp_path / "online", online)["pairs"] == 10
    assert not list((tmp_path / "online").glob("train-*")), "computed when they are asked for"
    teacher = load_frozen(world.teacher, "cpu")
    pools = [
        open_pool(spec, tmp_path / spec.mode, teacher, world.root / "train", world.data, "cpu")
        for spec in (stored, online)
    ]
    assert len(pools[0]) == len(pools[1]) == 10
    for place in (0, 7):
        first, second = (pool.batch(3, place, 6) for pool in pools)
        for key in PAIR_KEYS:
            torch.testing.assert_close(first[key], second[key], rtol=1e-4, atol=1e-4)


def test_a_missing_or_broken_pool_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tadsr targets"):
        Pool(tmp_path)
    shutil.copytree(world.pool, tmp_path / "pool")
    (tmp_path / "pool" / shard_file(0)).write_bytes(b"not tensors")
    with pytest.raises(CorruptionError, match="train-00000"):
        Pool(tmp_path / "pool")
