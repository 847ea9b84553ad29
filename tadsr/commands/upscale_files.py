"""Which pictures `tadsr upscale` makes, and where: decided before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tadsr.config.published import PUBLISHED
from tadsr.errors import ConfigError, DataError, TadsrError, nearest

MODEL_INDEX = "model_index.json"
FOLDER_SUFFIX = ".png"
"""Of what is written into a folder: lossless, and every picture can be stored in it."""


@dataclass(frozen=True)
class Task:
    """One picture: read `source`, write `target`; `name` is what its noise depends on."""

    source: Path
    target: Path
    name: str


def plan_tasks(source: Path, target: Path) -> list[Task]:
    """The tasks for IN and OUT of the command line.

    A folder is taken with its sub-folders, whose structure is kept; hidden files and folders, and
    OUT itself if it lies within, are left out. A picture's name is its path in the folder without
    the suffix.

    Raises:
        DataError: IN is missing, or holds no picture.
        ConfigError: OUT does not suit IN, would overwrite an input, or two inputs have one output.
    """
    if source.is_dir():
        tasks = _folder_tasks(source, target)
    elif source.exists():
        tasks = [Task(source, _file_target(source, target), source.stem)]
    else:
        raise DataError(f"{source}: no such file or folder; check the path")
    _check_collisions(tasks)
    return tasks


def find_model(folder: Path) -> Path:
    """The folder of a saved pipeline: `folder`, or `model` in it (the folder of a run).

    A file is a checkpoint, and stays as it is.

    Raises:
        TadsrError: there is none; a run's model below is named if there is one.
    """
    if folder.is_file():
        return folder
    for place in (folder, folder / "model"):
        if (place / MODEL_INDEX).is_file():
            return place
    if not folder.is_dir():
        named = len(folder.parts) == 1
        model = f"no published model: {nearest(str(folder), list(PUBLISHED))}"
        remedy = f", and {model}" if named else "; check the path"
        raise TadsrError(f"--model {folder}: no such file or folder{remedy}")
    depths = ("*", "*/*", "*/*/*", "*/*/*/*")
    below = (p.parent for depth in depths for p in sorted(folder.glob(f"{depth}/{MODEL_INDEX}")))
    found = next(below, None)
    remedy = f"did you mean {found}?" if found else "name a run's folder or the `model` in it"
    raise TadsrError(f"--model {folder}: no saved pipeline ({MODEL_INDEX}); {remedy}")


def _folder_tasks(source: Path, target: Path) -> list[Task]:
    from tadsr.data.images import SUFFIXES  # with torch, which takes seconds
    from tadsr.data.pictures import WRITERS

    like_a_file = target.suffix.lower() in WRITERS if not target.exists() else not target.is_dir()
    if like_a_file:
        raise ConfigError(f"OUT {target} is a file, but IN {source} is a folder; name a folder")
    if target.resolve() == source.resolve():
        raise ConfigError(f"OUT {target} is IN itself; name another folder")
    out_is_within = target.resolve().is_relative_to(source.resolve())
    tasks = []
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if out_is_within and path.resolve().is_relative_to(target.resolve()):
            continue
        name = relative.with_suffix("")
        tasks.append(Task(path, target / f"{name}{FOLDER_SUFFIX}", name.as_posix()))
    if not tasks:
        raise DataError(f"{source}: holds no picture ({', '.join(SUFFIXES)}); add some")
    return tasks


def _file_target(source: Path, target: Path) -> Path:
    from tadsr.data.pictures import WRITERS

    if target.is_dir():
        return target / f"{source.stem}{FOLDER_SUFFIX}"
    if target.suffix.lower() not in WRITERS:
        raise ConfigError(
            f"OUT {target}: the suffix says the format, and it is none of {', '.join(WRITERS)}; "
            "choose one of these, or an existing folder"
        )
    return target


def _check_collisions(tasks: list[Task]) -> None:
    makers: dict[Path, Path] = {}
    for task in tasks:
        other = makers.setdefault(task.target, task.source)
        if other != task.source:
            raise ConfigError(
                f"{other} and {task.source} would both become {task.target}; rename one of them"
            )
    inputs = {task.source.resolve() for task in tasks}
    for task in tasks:
        if task.target.resolve() in inputs:
            raise ConfigError(f"OUT {task.target} is one of the inputs; choose another OUT")
