"""How fast images are scored, against the plain loop that evaluation scripts have.

    python benchmarks/evaluation.py [--images 100] [--side 256] [--rounds 3] [--workers 2]
                                    [--device cpu] [--skip-memory]

The loop reads each pair of PNGs and calls pyiqa's PSNR, SSIM, LPIPS and NIQE on it, image by image:
once with torch's default number of threads, once with one. Against it, `tadsr.evaluation.evaluate`
on the same files. All three run in turns, each in a process of its own; times exclude imports and
include loading the metrics. Printed: seconds, CPU seconds, the ratios of each round (their median
counts), and the largest difference between the numbers. Then what each metric costs an image, and
the peak memory of whole evaluations (upscale, store, score) of few and of many images.

Pictures are cut from the photographs of the demo. Weights of LPIPS and NIQE are taken from the
weights folder; where they are missing, random ones of the same shapes are used: times do not
depend on their values.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tadsr.config.metrics import METRICS
from tadsr.data.images import read_rgb, to_tensor, to_uint8, write_png
from tadsr.data.photos import photo_paths
from tadsr.data.resize import bicubic
from tadsr.weights import Missing, status, weights_home

NAMES = ("psnr", "ssim", "lpips", "niqe")
Y = {"test_y_channel": True, "color_space": "ycbcr"}
MEMORY_COUNTS = (50, 400)


def main() -> None:
    """Measure all in turns and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(CHILDREN[args.child[0]](Path(args.child[1]), args)))
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: not measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        home = weights(place)
        make_pictures(place / "pictures", args.images, args.side)
        compare(args, place, home)
        costs(args, place, home)
        if not args.skip_memory:
            memory(args, place, home)


def compare(args: argparse.Namespace, place: Path, home: Path) -> None:
    """Time the loop and the product in turns."""
    runs: dict[str, list[dict[str, Any]]] = {"loop": [], "loop-1-thread": [], "tadsr": []}
    for number in range(args.rounds):
        for what, found in runs.items():
            found.append(child(args, what, place / "pictures", home))
            print(f"round {number + 1}: {what:14} {found[-1]['seconds']:7.2f} s, "
                  f"{found[-1]['cpu']:7.2f} s of CPU time", flush=True)  # fmt: skip
    wanted = {"loop": 1.5, "loop-1-thread": 1.8} if args.device == "cpu" else {"loop": 3.0}
    for what, least in wanted.items():
        for kind in ("seconds", "cpu"):
            rounds = zip(runs[what], runs["tadsr"], strict=True)
            ratios = sorted(one[kind] / ours[kind] for one, ours in rounds)
            goal = f"; wanted {least}" if kind == "seconds" else ""
            print(f"against {what}, {kind}: {statistics.median(ratios):.2f} times less "
                  f"({ratios[0]:.2f} to {ratios[-1]:.2f}{goal})")  # fmt: skip
    for what in ("loop", "loop-1-thread"):
        plain, ours = (runs[key][0]["scores"] for key in (what, "tadsr"))
        difference = max(abs(value - ours[name][image])
                         for name in NAMES for image, value in plain[name].items())  # fmt: skip
        print(f"largest difference from the numbers of {what}: {difference:.2g}")


def costs(args: argparse.Namespace, place: Path, home: Path) -> None:
    """Print what each metric costs."""
    found = child(args, "costs", place / "pictures", home)
    for name, (plain, ours) in found.items():
        print(f"{name:10} {plain:7.1f} ms of CPU time an image by pyiqa, {ours:7.1f} here")


def memory(args: argparse.Namespace, place: Path, home: Path) -> None:
    """Print the peak memory of evaluations of few, of many, and of larger images."""
    for count, side in (*((count, args.side) for count in MEMORY_COUNTS), (8, 4 * args.side)):
        make_dataset(place / f"set-{count}-{side}", count, side)
        found = child(args, "dataset", place / f"set-{count}-{side}", home)
        print(f"peak memory with {count} images of {side}x{side}: {found['peak']:.0f} MiB "
              f"({found['before']:.0f} with one of them), {found['seconds']:.1f} s",
              flush=True)  # fmt: skip


def child(args: argparse.Namespace, what: str, folder: Path, home: Path) -> Any:
    """Run one measurement in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**clean, "TORCH_HOME": str(home), "TADSR_WEIGHTS": str(home)}
    if what != "loop":
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, __file__, "--child", what, str(folder),
               "--device", args.device, "--workers", str(args.workers)]  # fmt: skip
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_loop(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The plain loop."""
    import pyiqa

    begun, cpu = time.perf_counter(), time.process_time()
    metrics = {name: pyiqa.create_metric(name, device=torch.device(args.device),
                                         **(Y if name in ("psnr", "ssim") else {}))
               for name in NAMES}  # fmt: skip
    scores: dict[str, dict[str, float]] = {name: {} for name in NAMES}
    for path in sorted((folder / "sr").iterdir()):
        sr, hr = (_read(folder / kind / path.name) for kind in ("sr", "hr"))
        for name, metric in metrics.items():
            scores[name][path.stem] = float(metric(sr) if name == "niqe" else metric(sr, hr))
    return {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu,
            "scores": scores}  # fmt: skip


def _read(path: Path) -> torch.Tensor:
    """As evaluation scripts do: Pillow, then a tensor."""
    from PIL import Image

    with Image.open(path) as image:
        levels = np.asarray(image.convert("RGB"))
    return torch.from_numpy(levels.transpose(2, 0, 1).copy())[None].float() / 255


def run_tadsr(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The product, on the same files."""
    import pyiqa  # noqa: F401 (imports are not timed)

    from tadsr.evaluation import evaluate

    pairs = [(path, folder / "hr" / path.name) for path in sorted((folder / "sr").iterdir())]
    begun, cpu = time.perf_counter(), time.process_time()
    frame = evaluate(pairs, NAMES, args.device, workers=args.workers)
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    scores = {name: dict(zip(rows["image"], rows["value"], strict=True))
              for name, rows in frame.groupby("metric")}  # fmt: skip
    return {"seconds": seconds, "cpu": used, "scores": scores}


def run_costs(folder: Path, args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Milliseconds of CPU time an image: (pyiqa's own call, here), one thread."""
    import pyiqa

    from tadsr.metrics import Metric, load_metric

    paths = sorted((folder / "sr").iterdir())[:20]
    pairs = [tuple(to_tensor(read_rgb(folder / k / p.name)) for k in ("sr", "hr")) for p in paths]
    found = {}
    for name in NAMES:
        options = Y if name in ("psnr", "ssim") else {}
        plain = pyiqa.create_metric(name, device=torch.device(args.device), **options)
        ours = load_metric(METRICS[name], args.device)
        assert isinstance(ours, Metric), str(ours)
        count = 2 if ours.spec.needs_reference else 1
        used = [pair[:count] for pair in pairs]
        batched = [[image[None] for image in pair] for pair in used]
        found[name] = (_milliseconds(lambda pair, m=plain: float(m(*pair)), batched),
                       _milliseconds(lambda pair, m=ours: m.score(*pair), used))  # fmt: skip
    reading = _milliseconds(lambda path: read_rgb(path), paths)
    scratch, pixels = folder / "scratch.png", [read_rgb(path) for path in paths]
    writing = _milliseconds(lambda levels: write_png(scratch, levels), pixels)
    return {**found, "read PNG": (reading, reading), "write PNG": (writing, writing)}


def _milliseconds(call: Any, items: list[Any]) -> float:
    """Median CPU time of a call, the first left out."""
    times = []
    for item in [items[0], *items]:
        begun = time.thread_time()
        call(item)
        times.append(time.thread_time() - begun)
    return 1e3 * statistics.median(times[1:])


def run_dataset(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Upscale, store and score a data set; peak memory in MiB."""
    from tadsr.evaluation import Bicubic, evaluate_dataset

    def metrics(where: Path, dataset: Path) -> None:
        specs = [METRICS[name] for name in NAMES]
        evaluate_dataset(
            Bicubic, dataset, where / "scores.parquet", where / "images", specs,
            {"upscaler": "bicubic"}, args.device, threads=1, workers=args.workers,
        )  # fmt: skip

    metrics(folder / "warm", folder / "one")
    before, begun = _peak(), time.perf_counter()
    metrics(folder / "out", folder / "all")
    return {"before": before, "peak": _peak(), "seconds": time.perf_counter() - begun}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


CHILDREN: dict[str, Any] = {
    "loop": run_loop, "loop-1-thread": run_loop, "tadsr": run_tadsr, "costs": run_costs,
    "dataset": run_dataset,
}  # fmt: skip


def crops(count: int, side: int) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Parts of the demo's photographs, repeated to reach the size."""
    photos = [p.read() for split in ("train", "val", "test") for p in photo_paths(split)]
    rng = np.random.default_rng(0)
    for number in range(count):
        photo = photos[number % len(photos)]
        times = [-(-side // s) for s in photo.shape[:2]]
        photo = np.tile(photo, (*times, 1))
        top, left = (int(rng.integers(0, s - side + 1)) for s in photo.shape[:2])
        yield photo[top : top + side, left : left + side]


def make_pictures(folder: Path, count: int, side: int) -> None:
    """`hr/*.png`, and in `sr/` the same shrunk and enlarged by bicubic interpolation."""
    for number, hr in enumerate(crops(count, side)):
        small = bicubic(to_tensor(hr)[None], scale=0.25).clamp(0, 1)
        sr = bicubic(small, scale=4)[0].clamp(0, 1)
        for kind, pixels in (("hr", hr), ("sr", to_uint8(sr))):
            write_png(folder / kind / f"{number:05}.png", pixels)


def make_dataset(folder: Path, count: int, side: int) -> None:
    """A data set `all`, and `one` of its first image."""
    from tadsr.config.data import DatasetSpec
    from tadsr.data.manifest import build_dataset

    for number, hr in enumerate(crops(count, side)):
        write_png(folder / "source" / f"{number:05}.png", hr)
    for name, limit in (("all", None), ("one", 1)):
        spec = DatasetSpec(kind="folder", path=str(folder / "source"), degradation="bicubic",
                           limit=limit)  # fmt: skip
        build_dataset(name, spec, folder / name)


def weights(place: Path) -> Path:
    """A folder with weights of LPIPS and NIQE: the user's, or random ones of the same shapes."""
    missing = [
        name for name in ("alexnet", "lpips-alex", "niqe") if isinstance(status(name), Missing)
    ]
    if not missing:
        return weights_home()
    from scipy.io import savemat
    from torchvision.models import alexnet

    print(f"no weights of {', '.join(missing)} here: random ones of the same shapes stand in")
    torch.manual_seed(0)
    hub = place / "weights" / "hub"
    for folder in ("checkpoints", "pyiqa"):
        (hub / folder).mkdir(parents=True)
    torch.save(alexnet().state_dict(), hub / "checkpoints" / "alexnet-owt-7be5be79.pth")
    layers = {f"lin{n}.model.1.weight": torch.rand(1, channels, 1, 1)
              for n, channels in enumerate((64, 192, 384, 256, 256))}  # fmt: skip
    torch.save(layers, hub / "pyiqa" / "LPIPS_v0.1_alex-df73285e.pth")
    savemat(hub / "pyiqa" / "niqe_modelparameters.mat",
            {"mu_prisparam": np.ones((1, 36)), "cov_prisparam": np.eye(36)})  # fmt: skip
    return place / "weights"


if __name__ == "__main__":
    main()
