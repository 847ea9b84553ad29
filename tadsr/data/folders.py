"""Which files of a folder are a data set: subfolder names, partners, splits.

Releases name things differently; `docs/datasets.md` lists what is understood.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from tadsr.config.data import DatasetSpec, Holdout
from tadsr.config.presets import PRESETS
from tadsr.data.images import SUFFIXES, list_images
from tadsr.errors import DataError, listed

HR_FOLDERS = ("hr", "gt", "hq", "high", "GTmod12", "test_HR", "DIV2K_valid_HR")
LR_FOLDERS = ("lr", "lq", "low", "LRbicx4", "test_LR", "LR_bicubic/X4", "DIV2K_valid_LR_bicubic/X4")
"""Usual names of subfolders; upper and lower case do not matter."""

ALL = "*"
"""In place of a subfolder's name: all of them."""

CAMERAS = ("Canon/Test/4", "Nikon/Test/4")
"""RealSR's own layout: HR and LR of each camera in one folder."""

_SUFFIX = re.compile(r"_(hr|gt|hq|lr\d*|lq)$|_?x\d$", re.IGNORECASE)
_HR_NAME = re.compile(r"_(hr|gt|hq)$", re.IGNORECASE)
_LR_NAME = re.compile(r"_(lr\d*|lq)$", re.IGNORECASE)

Pair = tuple[Path, Path]


def unique_stems(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by stem. Two files of one stem (a.png, a.jpg) would overwrite each other: an error."""
    stems: dict[str, Path] = {}
    twice = []
    for path in paths:
        other = stems.setdefault(path.stem, path)
        if other is not path:
            first = other.name if other.parent == path.parent else str(other)
            twice.append(f"{path.parent}: {first} and {path.name} have one name '{path.stem}'")
    if twice:
        raise DataError(f"{listed(twice)}; rename or remove one of them")
    return stems


def find_singles(root: Path, role: str, subfolder: str | None = None) -> dict[str, Path]:
    """The pictures of `root`, or of its one subfolder of `role` ("hr" or "lr"), by name.

    The subfolder `*` means all folders below `root`, as ImageNet has one for each class.

    Raises:
        DataError: no such folder, no picture, two of one name, or several subfolders to choose.
    """
    _check_root(root)
    if subfolder == ALL:
        return unique_stems(path for folder in _image_folders(root) for path in list_images(folder))
    folder = root if subfolder is None and _holds_images(root) else None
    folder = folder or _subfolder(root, role, subfolder)
    if folder is None and _image_folders(root):
        raise DataError(
            f"{root}: holds no picture, but folders below it do; choose one with "
            f"'{role}: <folder>', or take all with '{role}: \"*\"'"
        )
    return unique_stems(list_images(folder or root))


def find_pairs(root: Path, hr: str | None = None, lr: str | None = None) -> dict[str, Pair]:
    """(HR, LR) files by name: of two subfolders, or of one folder that holds both kinds.

    Raises:
        DataError: a missing folder, an image without partner, or more than one way to match.
    """
    _check_root(root)
    hr_folder, lr_folder = _subfolder(root, "hr", hr), _subfolder(root, "lr", lr)
    if hr_folder is None and lr_folder is None:
        mixed = [root / camera for camera in CAMERAS if (root / camera).is_dir()] or [root]
        images = [path for folder in mixed if _holds_images(folder) for path in list_images(folder)]
        if images:
            return match_pairs(root, *_by_kind(root, images))
    for role, folder, known in (("hr", hr_folder, HR_FOLDERS), ("lr", lr_folder, LR_FOLDERS)):
        if folder is None:
            raise DataError(
                f"{root}: no subfolder of {role.upper()} images ({', '.join(known)}); add it, or "
                f"name it with '{role}: <folder>'"
            )
    # The loop has refused None already.
    hr_images, lr_images = list_images(hr_folder or root), list_images(lr_folder or root)
    return match_pairs(root, unique_stems(hr_images), unique_stems(lr_images))


def match_pairs(place: Path, hr: dict[str, Path], lr: dict[str, Path]) -> dict[str, Pair]:
    """Partners by stem; where stems differ, without a suffix such as `_HR`, `_LR4`, `x4`.

    Raises:
        DataError: an image without partner, or one that could belong to two.
    """
    pairs = {stem: (hr[stem], lr[stem]) for stem in hr.keys() & lr.keys()}
    hr_rest = _without_suffix(place, {s: path for s, path in hr.items() if s not in pairs})
    lr_rest = _without_suffix(place, {s: path for s, path in lr.items() if s not in pairs})
    for name in sorted(hr_rest.keys() & lr_rest.keys()):
        if name in pairs:
            raise DataError(
                f"{place}: '{pairs[name][0].name}' and '{hr_rest[name].name}' both belong to "
                f"'{name}'; rename or remove one of them"
            )
        pairs[name] = (hr_rest[name], lr_rest[name])
    alone = sorted(hr_rest.keys() ^ lr_rest.keys())
    if alone:
        has, lacks = ("hr", "lr") if alone[0] in hr_rest else ("lr", "hr")
        files = {**hr_rest, **lr_rest}
        others = ""
        if len(alone) > 1:
            names = [f"'{'hr' if n in hr_rest else 'lr'}: {files[n].name}'" for n in alone[1:]]
            others = f"; so have {listed(names)}"
        raise DataError(
            f"{place}: '{files[alone[0]].name}' is in {has} but has no partner in {lacks} "
            f"({len(hr)} hr, {len(lr)} lr images, {len(alone)} without partner){others}; "
            "add or remove them"
        )
    return pairs


def check_count(spec: DatasetSpec, found: int, place: Path) -> None:
    """Refuse a folder with another number of images than `count`, a preset's or the user's own.

    Raises:
        DataError: it names the place, both numbers and what the right set is.
    """
    if spec.count is None or found == spec.count:
        return
    what = "pairs" if spec.kind == "pairs" else "images"
    wanted, other = f"'count' says {spec.count}", "correct 'count'"
    if spec.preset is not None:
        wanted = f"preset '{spec.preset}' has {spec.count} ({PRESETS[spec.preset].about})"
        other = f"give 'kind: {spec.kind}' in place of the preset"
    raise DataError(
        f"{place}: {found} {what}, and {wanted}; complete or clean the folder, or {other}"
    )


def members(names: Iterable[str], holdout: Holdout, split: str, place: Path) -> list[str]:
    """The names that belong to `split` (train, val or test), sorted.

    The smallest hashes are test, the next val, the rest train: whatever the order or the other
    settings, the three are disjoint. Hash shares (0.05) are of the hash's range, so a name's
    membership depends on nothing else.

    Raises:
        DataError: too few names to leave an image for each of the three.
    """
    ranked = sorted(names, key=lambda name: (_position(name), name))
    if isinstance(holdout.test, float):
        ends = [sum(_position(name) < end for name in ranked)
                for end in (holdout.test, holdout.test + holdout.val)]  # fmt: skip
    else:
        ends = [int(holdout.test), int(holdout.test + holdout.val)]
    parts = {
        "test": ranked[: ends[0]],
        "val": ranked[ends[0] : ends[1]],
        "train": ranked[ends[1] :],
    }
    if not all(parts.values()):
        raise DataError(
            f"{place}: {len(ranked)} images are too few for holdout val {holdout.val} and test "
            f"{holdout.test} with images left to train on; lower the holdout or add images"
        )
    return sorted(parts[split])


def _position(name: str) -> float:
    """Where a name's hash lies in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"holdout {name}".encode()).digest()[:6]) / 2**48


def _check_root(root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; check 'path'")


def _image_folders(root: Path) -> list[Path]:
    """`root` and the folders below it that hold pictures, in order."""
    return [folder for folder in sorted([root, *(p for p in root.rglob("*") if p.is_dir())])
            if _holds_images(folder)]  # fmt: skip


def _holds_images(folder: Path) -> bool:
    return any(p.suffix.lower() in SUFFIXES and p.is_file() for p in folder.iterdir()
               if not p.name.startswith("."))  # fmt: skip


def _subfolder(root: Path, role: str, named: str | None) -> Path | None:
    """The subfolder `named`, or the one with a usual name of `role`; None where there is none."""
    if named is not None:
        if not (root / named).is_dir():
            raise DataError(f"{root / named}: no such folder; check '{role}'")
        return root / named
    known = HR_FOLDERS if role == "hr" else LR_FOLDERS
    found = [folder for name in known for folder in _ignoring_case(root, name)]
    if len(found) > 1:
        names = " and ".join(str(folder.relative_to(root)) for folder in found[:2])
        raise DataError(
            f"{root}: {names} could both hold the {role.upper()} images; choose with "
            f"'{role}: {found[0].relative_to(root)}'"
        )
    return found[0] if found else None


def _ignoring_case(root: Path, name: str) -> list[Path]:
    """The folders below `root` at the relative path `name`, in any spelling of its letters."""
    found = [root]
    for part in name.lower().split("/"):
        found = [p for folder in found for p in sorted(folder.iterdir())
                 if p.name.lower() == part and p.is_dir()]  # fmt: skip
    return found


def _by_kind(root: Path, images: list[Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """HR and LR of a folder that holds both, told apart by the ends of their names."""
    hr = [path for path in images if _HR_NAME.search(path.stem)]
    lr = [path for path in images if _LR_NAME.search(path.stem)]
    others = [path for path in images if path not in hr and path not in lr]
    if others:
        raise DataError(
            f"{others[0]}: no subfolders of HR and LR in {root}, and this name ends neither in "
            "_HR, _GT nor in _LR, _LR4, _LQ; move HR and LR to subfolders hr and lr"
        )
    return unique_stems(hr), unique_stems(lr)


def _without_suffix(place: Path, stems: dict[str, Path]) -> dict[str, Path]:
    names: dict[str, Path] = {}
    for stem, path in stems.items():
        name = _SUFFIX.sub("", stem) or stem
        other = names.setdefault(name, path)
        if other is not path:
            raise DataError(
                f"{place}: '{other.name}' and '{path.name}' both belong to '{name}'; "
                "rename or remove one of them"
            )
    return names
