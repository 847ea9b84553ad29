"""The cost of a model: counts against formulas and torch, memory against known allocations."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tadsr.errors import CorruptionError, DataError
from tadsr.evaluation import Bicubic, PipelineUpscaler
from tadsr.evaluation.cost import (
    busy_seconds,
    count_macs,
    describe_device,
    measure_cost,
    peak_growth,
    time_runs,
)
from tadsr.evaluation.cost_records import CostRecord, read_cost, write_cost
from tadsr.files import read_json, write_json
from tadsr.plan.operations import network_cost
from tests.tiny import NETWORK

MEBI = 2**20
STEPS = 4


@pytest.fixture(scope="module")
def upscalers() -> dict[int, PipelineUpscaler]:
    """The smallest network, by its number of steps."""
    from tadsr.diffusion import ResShiftScheduler
    from tadsr.models import PixelUnshuffleCodec, SwinUNet2DModel
    from tadsr.pipeline import TADSRPipeline

    unet = SwinUNet2DModel(
        in_channels=48, out_channels=48, lq_channels=3, sample_size=16, **NETWORK.model_dump()
    )
    scheduler = ResShiftScheduler(num_train_timesteps=STEPS)
    pipeline = TADSRPipeline(unet=unet, codec=PixelUnshuffleCodec(), scheduler=scheduler)
    return {steps: PipelineUpscaler(pipeline, steps, "cpu") for steps in (1, STEPS)}


class Double:
    """Enlarges four times with a convolution, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.network = nn.Conv2d(3, 48, 3, padding=1)
        self.error = error
        self.calls = 0

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        self.calls += 1
        if self.error is not None and lr.shape[-1] > 8:
            raise self.error
        return F.pixel_shuffle(self.network(lr[None]), 4)[0]


def record(**changed: Any) -> CostRecord:
    where = {"device": "cpu", "device_name": "p", "processor": "p", "threads": 1, "torch": "2",
             "dtype": "float32"}  # fmt: skip
    return CostRecord(**{"lr_side": 64, "parameters": {}, **where, **changed})


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("steps", [1, STEPS])
def test_macs_are_those_the_plan_counts_from_settings(
    upscalers: dict[int, PipelineUpscaler], steps: int, side: int
) -> None:
    (found,) = measure_cost(upscalers[steps], [side], repeats=3, warmup=0)
    network = network_cost(NETWORK, 48, side)
    enlarging = 3 * (4 * side * side * side + 4 * side * side * 4 * side)
    assert found.macs == steps * network.forward / 2 + enlarging
    assert found.uncounted == ()
    assert found.parameters == {"denoiser": network.parameters, "codec": 0}
    assert found.all_parameters == network.parameters


def test_attention_counts_on_a_cpu_whichever_kernel_runs() -> None:
    q = torch.rand(2, 4, 16, 8)
    macs, _ = count_macs(lambda: F.scaled_dot_product_attention(q, q, q))
    explicit, _ = count_macs(lambda: (q @ q.transpose(-1, -2)).softmax(-1) @ q)
    assert macs == explicit == 2 * (2 * 4 * 16 * 16 * 8)


def test_matrix_products_and_convolutions_count_one_mac_per_product() -> None:
    a, b = torch.rand(3, 5), torch.rand(5, 7)
    assert count_macs(lambda: a @ b)[0] == 3 * 5 * 7
    image, kernel = torch.rand(1, 4, 10, 10), torch.rand(6, 4, 3, 3)
    assert count_macs(lambda: F.conv2d(image, kernel))[0] == 6 * 4 * 9 * 8 * 8
    assert count_macs(lambda: a + a)[0] == 0


def test_operations_from_outside_of_torch_are_named() -> None:
    from torchvision.ops import deform_conv2d

    image, kernel = torch.rand(1, 1, 5, 5), torch.rand(1, 1, 3, 3)
    _, foreign = count_macs(lambda: deform_conv2d(image, torch.zeros(1, 18, 3, 3), kernel))
    assert foreign == ("torchvision::deform_conv2d",)


def test_peak_memory_of_known_allocations() -> None:
    def together() -> torch.Tensor:
        first = torch.ones(MEBI, dtype=torch.uint8)
        second = torch.ones(2 * MEBI, dtype=torch.uint8)
        return torch.cat([first, second])

    def one_after_the_other() -> None:
        for _ in range(3):
            torch.ones(MEBI, dtype=torch.uint8)

    held = torch.ones(8 * MEBI, dtype=torch.uint8)  # was there before: does not count
    assert peak_growth(together, "cpu") == 6 * MEBI
    assert peak_growth(one_after_the_other, "cpu") == MEBI
    assert peak_growth(lambda: held.view(2, -1), "cpu") == 0


def test_peak_memory_is_not_less_than_what_the_kernel_sees() -> None:
    """Resident memory grows by as much, when large tensors are written to."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not os.access(clear, os.W_OK):
        pytest.skip("the kernel does not let the peak of resident memory be reset")

    def resident(name: str) -> int:
        line = next(x for x in status.read_text().splitlines() if x.startswith(name))
        return 1024 * int(line.split()[1])

    def once() -> torch.Tensor:
        return torch.ones(64 * MEBI, dtype=torch.uint8) + torch.ones(64 * MEBI, dtype=torch.uint8)

    once()
    before = resident("VmRSS")
    clear.write_text("5")
    once()
    assert peak_growth(once, "cpu") == 192 * MEBI
    assert resident("VmHWM") - before == pytest.approx(192 * MEBI, rel=0.05)


def test_peak_holds_weights_and_activations() -> None:
    model = Double()
    (found,) = measure_cost(model, [32], repeats=3, warmup=0)
    weights = 4 * (48 * 3 * 9 + 48)
    output = 4 * 48 * 32 * 32
    assert found.weight_bytes == weights
    assert found.peak_bytes is not None
    # The convolution's result and its rearrangement; a kernel may reorder its input as well.
    assert weights + 2 * output <= found.peak_bytes < weights + 3 * output


def test_runs_are_counted_and_bounded() -> None:
    model = Double()
    (found,) = measure_cost(model, [8], repeats=20, warmup=2)
    assert len(found.seconds) == 20
    assert found.warmup == 2
    assert model.calls == 2 + 2 + 20
    slow = time_runs(lambda: time.sleep(0.02), repeats=50, warmup=9, seconds=0.0)
    assert slow["warmup"] == 0
    assert len(slow["seconds"]) == 3
    assert min(slow["seconds"]) >= 0.02


def test_quantiles_are_numpys_and_few_runs_have_no_95th_percentile() -> None:
    seconds = tuple(np.random.default_rng(0).random(30).tolist())
    many = record(seconds=seconds)
    assert many.median == pytest.approx(np.median(seconds))
    assert many.p95 == pytest.approx(np.quantile(seconds, 0.95))
    assert many.slowest == max(seconds)
    assert record(seconds=seconds[:19]).p95 is None
    assert record().median is None


def test_other_work_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more core is busy than this process accounts for."""
    clock = iter([(0.0, 0.0, 10.0), (2.0, 1.9, 14.0)])
    now: list[tuple[float, float, float]] = []

    def busy() -> float:
        return now[-1][2]

    def wall() -> float:
        now.append(next(clock))
        return now[-1][0]

    from tadsr.evaluation import cost

    monkeypatch.setattr(cost, "busy_seconds", busy)
    monkeypatch.setattr(cost.time, "perf_counter", wall)
    monkeypatch.setattr(cost.time, "process_time", lambda: now[-1][1])
    with cost.watched() as beside:
        pass
    assert beside["cores"] == pytest.approx((14 - 10 - 1.9) / 2, abs=0.01)
    assert record(busy_elsewhere=beside["cores"]).disturbed
    assert not record(busy_elsewhere=0.1, load_average=9.0).disturbed
    assert record(load_average=1.6).disturbed
    assert not record(load_average=1.4).disturbed


def testbusy_seconds_grow_with_work() -> None:
    before = busy_seconds()
    if before is None:
        pytest.skip("no /proc/stat")
    begun = time.process_time()
    while time.process_time() - begun < 0.3:
        pass
    after = busy_seconds()
    assert after is not None
    assert after - before >= 0.25


def test_bicubic_has_no_parameters_and_finished_images_have_no_cost() -> None:
    class Finished(Bicubic):
        @property
        def networks(self) -> None:  # type: ignore[override]
            return None

    (found,) = measure_cost(Bicubic(), [16], repeats=3)
    assert (found.parameters, found.all_parameters, found.weight_bytes) == ({}, 0, 0)
    assert found.dtype == "float32"
    assert measure_cost(Finished(), [16]) == []
    assert measure_cost(Bicubic(), []) == []


@pytest.mark.parametrize(("error", "words"), [
    (MemoryError(), "too large for the memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "too large for the memory"),
    (DataError("too small for this model"), "too small for this model"),
])  # fmt: skip
def test_a_size_that_cannot_be_run_says_why(error: Exception, words: str) -> None:
    small, large = measure_cost(Double(error), [8, 16], repeats=3)
    assert small.missing == ""
    assert large.missing == words
    assert (large.macs, large.median, large.peak_bytes) == (None, None, None)
    assert large.all_parameters == 48 * 3 * 9 + 48


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        measure_cost(Double(RuntimeError("shape mismatch")), [16])


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()
    (found,) = measure_cost(Double(), [8], repeats=3, threads=2)
    assert found.threads == 2
    assert torch.get_num_threads() == before
    assert {"device", "device_name", "processor"} == set(describe_device("cpu"))


def test_a_stored_cost_is_read_for_its_identity_and_device_alone(tmp_path: Path) -> None:
    written = [record(seconds=(0.1, 0.2, 0.3), parameters={"denoiser": 5}, uncounted=("a::b",))]
    device = {"device_name": "p"}
    assert read_cost(tmp_path, {"a": 1}) is None
    write_cost(tmp_path, {"a": 1}, device, written)
    (found,) = read_cost(tmp_path, {"a": 1}) or []
    assert found.median == 0.2
    assert found.parameters == {"denoiser": 5}
    assert read_cost(tmp_path, {"a": 1}, device) == [found]
    assert read_cost(tmp_path, {"a": 2}) is None
    assert read_cost(tmp_path, {"a": 1}, {"device_name": "another"}) is None
    stored = read_json(tmp_path / "cost.json")
    stored["records"][0]["unknown"] = 1
    write_json(tmp_path / "cost.json", stored)
    with pytest.raises(CorruptionError, match=r"cost\.json.*unknown"):
        read_cost(tmp_path, {"a": 1})
