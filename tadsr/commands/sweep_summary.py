"""What each search found, and what became of it on seeds that the search had not seen."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from tadsr.config.sweep import variant_name
from tadsr.files import read_json
from tadsr.plan import Plan
from tadsr.plan.receipts import current_card
from tadsr.sweeps import BEST, CONFIRMED, REFERENCES, STUDY, read_pick

Scores = dict[str, dict[str, float]]


def gather_sweeps(plan: Plan) -> list[dict[str, Any]]:
    """One entry per search that is concluded with the settings of now.

    All scores are means over the validation images. `picks` has for each winner its value in the
    search, which is the best of many and so flattering, and those of the students that were trained
    anew (`confirmed`, one per seed: its scores, or None where there is none). Test sets take no
    part here.
    """
    found = []
    for name, spec in plan.experiment.sweeps.items():
        folder = plan.sweep(name)
        if not (folder / BEST).is_file() or current_card(plan, f"sweeps/{name}") is None:
            continue
        study, references = read_json(folder / STUDY), read_json(folder / REFERENCES)
        trials = read_json(folder / "trials.json")
        states = [trial["state"] for trial in trials]
        found.append({
            "sweep": name,
            "description": spec.description,
            "objectives": [goal.metric.id for goal in spec.objectives],
            "metrics": [metric.id for metric in spec.metrics()],
            "trials": {state: states.count(state) for state in sorted(set(states))},
            "images": len(next(iter(study["teacher"]["scores"].values()))),
            "seed": spec.seed,
            "teacher": _means(study["teacher"]["scores"]),
            "references": {key: _means(entry["scores"]) for key, entry in references.items()},
            "picks": [_pick(plan, name, which, trials) for which in spec.picks],
        })  # fmt: skip
    return found


def _pick(plan: Plan, name: str, which: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    picked = read_pick(plan.sweep(name), which)
    trial = next(trial for trial in trials if trial["number"] == picked["trial"])
    variant = variant_name(name, which)
    return {
        "which": which,
        "variant": variant,
        "trial": picked["trial"],
        "delta": picked["delta"],
        "search": _means(trial["scores"]),
        "confirmed": {
            str(seed): _confirmed(plan, f"{variant}/seed-{seed}") for seed in plan.experiment.seeds
        },
    }


def _confirmed(plan: Plan, cell: str) -> dict[str, float] | None:
    card = current_card(plan, f"students/{cell}")
    path = plan.student(cell) / CONFIRMED
    if card is None or card["status"] != "done" or not path.is_file():
        return None
    return _means(read_json(path))


def _means(scores: Scores) -> dict[str, float]:
    return {metric: fmean(values.values()) for metric, values in scores.items()}
