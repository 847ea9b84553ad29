"""`tadsr merge`: one results folder out of those of several machines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tadsr.errors import ConfigError, TadsrError, listed

if TYPE_CHECKING:
    from tadsr.commands.merge_sources import Merge, Source
    from tadsr.config import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folders", nargs="+", metavar="FOLDER",
                        help="results folders, such as machine-a/results/small")  # fmt: skip
    parser.add_argument("--out", required=True, metavar="DIR",
                        help="the results folder to make, such as results/small")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Merge, and say what came from where and what is left to do."""
    from tadsr.commands.merge_writing import write_merge

    out = Path(args.out)
    check_places(args.folders, out)
    merge = plan_merge(args.folders)
    write_merge(merge, out)
    say(merge, out)
    return 0


def check_places(folders: Sequence[str], out: Path) -> None:
    """Refuse a merge of one folder, of one with itself, or into something that is there."""
    if len({Path(folder).resolve() for folder in folders}) < max(2, len(folders)):
        raise ConfigError("tadsr merge: name two or more different results folders")
    if out.exists() or out.is_symlink():
        raise ConfigError(f"--out: {out} is there already; name a new folder, or move it away")


def plan_merge(folders: Sequence[str]) -> Merge:
    """Read, verify and compare the folders, and choose what is taken from which.

    Raises:
        TadsrError: they cannot stand in one report; it says why, all of it.
    """
    from tadsr.commands import merge_sources as reading
    from tadsr.commands.merge_sources import Merge
    from tadsr.commands.verify import end_progress, progress_on_terminal

    sources = [reading.read_source(folder, progress_on_terminal()) for folder in folders]
    end_progress()
    experiment = reading.merged_settings(sources)
    if problems := list(reading.disagreements(sources)):
        raise TadsrError(f"these results do not belong together: {listed(problems)}")
    runs: dict[str, Source] = {}
    evaluations: dict[str, Source] = {}
    for source in sources:
        for name in sorted(source.audit.whole):
            runs.setdefault(name, source)
    left_out = _of_open_searches(experiment, runs)
    for source in sources:
        scored = dict.fromkeys(name for name, _ in source.audit.scored)
        for model in [name for name in scored if name not in left_out]:
            best = evaluations.setdefault(model, source)
            if _sets(source, model) > _sets(best, model):
                evaluations[model] = source
    return Merge(sources, experiment, runs, evaluations, [*_remarks(sources, evaluations)])


def _of_open_searches(experiment: Experiment, runs: dict[str, Source]) -> set[str]:
    """Students whose search is not finished in any folder; they are taken out of `runs`.

    They were trained with what it had found before, and it may yet find something else.
    """
    found = {cell.name for cell in experiment.cells()
             if cell.pick and f"sweeps/{cell.pick.sweep}" not in runs}  # fmt: skip
    for name in found:
        runs.pop(f"students/{name}", None)
    return found


def _sets(source: Source, model: str) -> int:
    """On how many test sets a source has scores of a model."""
    return sum(name == model for name, _ in source.audit.scored)


def _remarks(sources: Sequence[Source], evaluations: Mapping[str, Source]) -> list[str]:
    """Versions and device classes that differ, and scores of one model that do."""
    found = []
    notes = [source.made_with for source in sources]
    for name in sorted({key for note in notes for key in note}):
        values = [note.get(name, "?") for note in notes]
        if len(set(values)) > 1:
            said = (f"{value} in {source.label}"
                    for value, source in zip(values, sources, strict=True))  # fmt: skip
            found.append(f"{name} differs: {', '.join(said)}")
    for model, best in evaluations.items():
        for source in sources:
            largest = _differences(best, source, model) if source is not best else {}
            if largest:
                apart = ", ".join(f"{metric} {value:.2g}" for metric, value in largest.items())
                found.append(f"{model} was measured twice; kept is that of {best.label}, largest "
                             f"differences of {source.label}: {apart}")  # fmt: skip
    return found


def _differences(best: Source, other: Source, model: str) -> dict[str, float]:
    """Metric to the largest difference of an image's score, of a model measured by both."""
    from tadsr.commands.merge_sources import scores_of

    largest: dict[str, float] = {}
    for name, dataset in sorted(best.audit.scored.keys() & other.audit.scored.keys()):
        if name == model:
            one, two = (scores_of(source, name, dataset)[0] for source in (best, other))
            both = one.merge(two, on=["image", "metric"])
            apart = (both["value_x"] - both["value_y"]).abs().groupby(both["metric"]).max()
            for metric, value in apart[apart > 0].items():
                largest[str(metric)] = max(largest.get(str(metric), 0.0), float(value))
    return largest


def say(merge: Merge, out: Path) -> None:
    """What came from where, what differs, what is not there, and how to go on."""
    for source in merge.sources:
        runs = [run for run, origin in merge.runs.items() if origin is source]
        students = sum(run.startswith("students/") for run in runs)
        models = sum(origin is source for origin in merge.evaluations.values())
        print(f"from {source.label}: {students} students, {len(runs) - students} other runs, "
              f"scores of {models} models")  # fmt: skip
    for remark in merge.remarks:
        print(f"note: {remark}")
    for name in merge.experiment.sweeps:
        if f"sweeps/{name}" not in merge.runs:
            print(f"note: search {name} is finished in none of them: it is left out, with the "
                  "students of what it found")  # fmt: skip
    cells = [cell.name for cell in merge.experiment.cells()]
    holes = [name for name in cells if f"students/{name}" not in merge.runs]
    unscored = [name for name in cells if name not in merge.evaluations and name not in holes]
    for what, names in (("not trained", holes), ("not measured, or diverged", unscored)):
        if names:
            print(f"note: {what} in any of them: {', '.join(names)}")
    print(f"merged {len(merge.experiment.variants)} variants x {len(merge.experiment.seeds)} seeds "
          f"into {out}")  # fmt: skip
    print(f"next: tadsr run {out / 'experiment.json'}")
