"""Three concluded searches, written as `tadsr sweep` and `tadsr compare` leave them; no Optuna.

`weight`: the adversarial weight alone, pruned. `losses`: four settings, one of which does not
always count, and a constraint. `trade`: two objectives.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from tadsr.config import Experiment
from tadsr.config.sweep import SweepSpec
from tadsr.files import write_json, write_text
from tadsr.report.content import ReportContent
from tadsr.report.sweeps import Sweep

LOSSES = "student.losses."
WEIGHT = f"{LOSSES}adversarial.weight"
HSD = f"{LOSSES}score_distillation.weight"
KIND = f"{LOSSES}adversarial.discriminator"
RATE = "student.training.learning_rate"
IMAGES = ("cat", "coffee", "rocket")
NONE = {"no_adversary": {WEIGHT: 0}}
WEIGHTS = {"kind": "float", "low": 0.002, "high": 0.2, "log": True}
SWEEPS: dict[str, dict[str, Any]] = {
    "weight": {
        "description": "how much adversary", "space": {WEIGHT: WEIGHTS}, "references": NONE,
        "objectives": [{"metric": "psnr"}], "budget": {"trials": 12},
    },
    "losses": {
        "space": {
            KIND: {"kind": "categorical", "choices": ["time_aware", "vanilla"]},
            WEIGHT: {**WEIGHTS, "when": {KIND: ["time_aware"]}},
            HSD: {"kind": "float", "low": 0, "high": 1},
            RATE: {"kind": "float", "low": 1e-4, "high": 1e-3, "log": True},
        },
        "objectives": [{"metric": "lpips"}], "constraints": [{"metric": "psnr", "margin": 0.2}],
        "sampler": {"kind": "random"}, "pruner": {"kind": "none"}, "budget": {"hours": 2},
    },
    "trade": {
        "base": "no_discriminator", "space": {HSD: {"kind": "float", "low": 0, "high": 1},
                                              WEIGHT: WEIGHTS},
        "objectives": [{"metric": "psnr"}, {"metric": "lpips"}], "references": NONE,
        "budget": {"trials": 16}, "workers": 4,
    },
}  # fmt: skip
TEACHER = {"psnr": 27.9, "lpips": 0.29}
SEEDS = (0, 1, 2)
TRIALS = {"weight": 13, "losses": 14, "trade": 16}


def spec_of(name: str) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps(SWEEPS[name]))


def with_sweeps(experiment: Experiment, names: tuple[str, ...] = tuple(SWEEPS)) -> Experiment:
    return experiment.model_copy(update={"sweeps": {name: spec_of(name) for name in names}})


def sweep_of(content: ReportContent, name: str) -> Sweep:
    return next(sweep for sweep in content.sweeps if sweep.name == name)


def settings_of(name: str, number: int) -> dict[str, Any]:
    """Spread evenly, in an order that looks like chance."""
    found: dict[str, Any] = {}
    for index, (key, parameter) in enumerate(spec_of(name).space.items()):
        if not parameter.counts(found):
            continue
        share = (0.5 + number * (0.6180339887, 0.7548776662, 0.5698402910, 0.8191725134)[index]) % 1
        if parameter.choices:
            found[key] = parameter.choices[int(share * len(parameter.choices))]
            continue
        low, high = (float(edge) for edge in parameter.edges())
        found[key] = low * (high / low) ** share if parameter.log else low + share * (high - low)
    return found


def means_of(settings: dict[str, Any], share: float = 1.0) -> dict[str, float]:
    """What a trial reaches after a share of its images."""
    weight, hsd = settings.get(WEIGHT, 0.02), settings.get(HSD, 0.3)
    away = math.log10(max(weight, 1e-4) / 0.03)
    rate = 0.05 * abs(math.log10(settings.get(RATE, 5e-4) / 3e-4))
    return {
        "psnr": 28.2 - 0.09 * away**2 - 0.25 * hsd**2 - rate - 0.4 * (1 - share),
        "lpips": 0.31 + 0.01 * away**2 - 0.03 * hsd + rate / 4 + 0.05 * (1 - share),
    }


def scores_of(name: str, means: dict[str, float]) -> dict[str, dict[str, float]]:
    """Image by image; the mean over the images is what was asked for."""
    return {m.id: {image: means[m.id] + 0.01 * (i - 1) for i, image in enumerate(IMAGES)}
            for m in spec_of(name).metrics()}  # fmt: skip


def trial_of(name: str, number: int) -> dict[str, Any]:
    """Of `weight`, 3 and 8 are pruned, 5 diverged, and 12 repeats 6, whose worker died."""
    repeats = 6 if (name, number) == ("weight", 12) else None
    settings = settings_of(name, number if repeats is None else repeats)
    state = {3: "pruned", 8: "pruned", 5: "diverged", 6: "failed"}.get(number, "complete")
    state = state if name == "weight" else "complete"
    images = {"pruned": 320, "diverged": 106, "failed": 0}.get(state, 960)
    scores = scores_of(name, means_of(settings, images / 960)) if images else {}
    means = {metric: sum(v.values()) / len(v) for metric, v in scores.items()}
    spec = spec_of(name)
    return {
        "number": number, "state": state, "origin": repeats, "retry_of": repeats,
        "message": "the loss became nan" if state == "diverged" else "",
        "settings": settings,
        "values": {g.metric.id: means[g.metric.id] for g in spec.objectives}
        if state == "complete" else {},
        "violations": {c.name: None if state == "diverged" else
                       c.violation(means[c.metric.id], TEACHER[c.metric.id])
                       for c in spec.constraints},
        "intermediate": {}, "images": images, "scores": scores,
        "run": f"run-{number}" if images else "",
    }  # fmt: skip


def best_of(name: str, trials: list[dict[str, Any]]) -> tuple[dict[str, int], list[int]]:
    """Numbers of what is picked, and of the front."""
    done = [t for t in trials if t["state"] == "complete"
            and all(v <= 0 for v in t["violations"].values())]  # fmt: skip
    if name != "trade":
        metric, sign = ("psnr", -1) if name == "weight" else ("lpips", 1)
        return {"best": min(done, key=lambda t: sign * t["values"][metric])["number"]}, []
    places = [(t["values"]["psnr"], t["values"]["lpips"]) for t in done]
    front = [t for t, (x, y) in zip(done, places, strict=True)
             if not any(a > x and b < y for a, b in places)]  # fmt: skip
    front.sort(key=lambda t: -t["values"]["psnr"])
    numbers = [t["number"] for t in front]
    return {"knee": numbers[len(numbers) // 2], "end1": numbers[0], "end2": numbers[-1]}, numbers


def write_sweep(root: Path, name: str) -> dict[str, Any]:
    """The folder of one search; returns its entry of comparison/sweeps.json."""
    spec, folder = spec_of(name), root / "sweeps" / name
    trials = [trial_of(name, number) for number in range(TRIALS[name])]
    picks, front = best_of(name, trials)
    for trial in trials:
        if trial["run"]:
            looks = {str(at): scores_of(name, means_of(trial["settings"], at / 960))
                     for at in (106, 320, 960)
                     if at == 960 or name == "weight"}  # fmt: skip
            write_json(folder / "trials" / trial["run"] / "looks.json", looks)
            write_json(folder / "trials" / trial["run"] / "run.json", {"seconds": 9.0})
    shares = {key: 1 / (2 + i) for i, key in enumerate(spec.space)}
    whole = sum(shares.values())
    methods = {"fanova": {k: v / whole for k, v in shares.items()},
               "ped_anova": {k: 1 / len(shares) for k in shares}}  # fmt: skip
    if name == "losses":
        del methods["fanova"][WEIGHT]
    write_json(folder / "trials.json", trials)
    write_json(folder / "importances.json", {g.metric.id: methods for g in spec.objectives})
    teacher = scores_of(name, TEACHER)
    cards = {metric: {"metric": metric, "verified": None} for metric in teacher}
    write_json(folder / "study.json", {**spec.identity(), "cards": cards,
                                       "teacher": {"steps": 15, "scores": teacher}})  # fmt: skip
    references = {key: {"delta": delta, "status": "done",
                        "scores": scores_of(name, {"psnr": 27.95, "lpips": 0.33})}
                  for key, delta in spec.references.items()}  # fmt: skip
    write_json(folder / "references.json", references)
    records = {w: {"trial": n, "delta": trials[n]["settings"], "values": trials[n]["values"]}
               for w, n in picks.items()}  # fmt: skip
    write_text(folder / "best.yaml", yaml.safe_dump({"picks": records, "front": front}))
    write_json(folder / "run.json", {"status": "done", "seconds": 99.0, "recipe_digest": "ab" * 32})
    return _told(name, trials, picks)


def _told(name: str, trials: list[dict[str, Any]], picks: dict[str, int]) -> dict[str, Any]:
    states = [trial["state"] for trial in trials]
    spec = spec_of(name)
    found = []
    for which, number in picks.items():
        search = {m: sum(v.values()) / len(v) for m, v in trials[number]["scores"].items()}
        again: dict[str, Any] = {str(seed): {m: v * (0.999 + 0.0004 * seed)
                                             for m, v in search.items()}
                                 for seed in SEEDS}  # fmt: skip
        if which == "end2":
            again["1"] = None
        found.append({"which": which, "trial": number, "delta": trials[number]["settings"],
                      "variant": f"best-of-{name}" + f"-{which}" * (which != "best"),
                      "search": search, "confirmed": again})  # fmt: skip
    return {"sweep": name, "trials": {s: states.count(s) for s in set(states)}, "images": 3,
            "seed": spec.seed, "picks": found}  # fmt: skip


def write_sweeps(root: Path, names: tuple[str, ...] = tuple(SWEEPS)) -> None:
    """All of `names` below `root`."""
    write_json(root / "comparison" / "sweeps.json", [write_sweep(root, name) for name in names])
