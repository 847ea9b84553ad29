"""What comparing yields: plain records, and their way to parquet and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tadsr.compare.claims import WeightsClaim
from tadsr.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """A variant minus the reference, at one dataset and metric, in the metric's own units.

    Where there is no (seed, image) pair with both scores, every number is None and `text` says
    why. `delta`, `low` and `high` keep the metric's sign; `win_rate`,
    `probability_of_improvement` and `verdict` know which direction is better.
    """

    variant: str
    reference: str
    dataset: str
    metric: str
    higher_is_better: bool | None
    """None where nobody said: then no win rate and no verdict."""
    primary: bool = False
    """Whether this is one of the declared primary endpoints, so that it gets a verdict word."""
    n_seeds: int = 0
    """Paired seeds in these numbers; 0 between two upscalers without seeds."""
    seeds_total: int = 0
    """Seeds the variant was given anywhere, diverged ones included."""
    distinct_seeds: int = 0
    """Seeds whose scores are not a copy of another seed's."""
    n_images: int = 0
    """Images that every paired seed has in both; 0 for a metric of the whole set."""
    images_left_out: int = 0
    """Images that some paired seed has and another lacks."""
    diverged: int = 0
    """Seeds of the variant that diverged."""
    reference_diverged: int = 0
    mean: float | None = None
    """The variant's mean over the paired seeds and images."""
    reference_mean: float | None = None
    delta: float | None = None
    low: float | None = None
    """Recipe on these images: 95 % t interval over seeds, not adjusted for the family."""
    high: float | None = None
    df: int = 0
    p_value: float | None = None
    sign_flip_p: float | None = None
    p_adjusted: float | None = None
    """Holm's p over all primary tests; None for exploratory ones."""
    family: int = 0
    """Number of primary tests p was adjusted for; 0 for exploratory ones."""
    population_low: float | None = None
    """Recipe on images like these: crossed random-effects interval."""
    population_high: float | None = None
    population_df: float | None = None
    sd: float | None = None
    """Standard deviation of the per-seed differences."""
    effect_size: float | None = None
    """delta / sd: the difference in standard deviations of the paired seeds."""
    win_rate: float | None = None
    """Share of (seed, image) pairs the variant wins; a tie counts one half."""
    probability_of_improvement: float | None = None
    """Chance that a run of the variant beats a run of the reference."""
    smallest_effect: float | None = None
    """The smallest true difference these seeds show with 80 % power, if `sd` is the true one."""
    seeds_needed: int | None = None
    """Seeds that show the observed difference with 80 % power, if `delta` and `sd` are true."""
    margin: float | None = None
    """The smallest difference worth knowing, in the metric's units: the declared one, or a
    multiple of `sd` (see `tadsr.compare.verdicts`). None for exploratory ones."""
    seeds_for_margin: int | None = None
    """Seeds that show a difference of `margin` with 80 % power, if `sd` is the true one: with so
    many, the verdict would not be `under-powered`."""
    unverified: bool = False
    """Whether the metric used weights that are not known to be the official ones."""
    verdict: str | None = None
    """One of `VERDICTS` for a primary endpoint, or `UNVERIFIED`; None: exploratory."""
    text: str = ""
    """One plain sentence."""
    per_seed: tuple[WeightsClaim, ...] = ()
    """These weights on images like these, one claim per paired seed."""

    @property
    def favours_diverged(self) -> bool:
        """Whether the seeds that are left favour the side that diverged more often.

        Divergence depends on the run: those that are left may be its lucky ones.
        """
        if self.delta is None or self.higher_is_better is None:
            return False
        better = (self.delta > 0) == self.higher_is_better
        ours, theirs = self.diverged, self.reference_diverged
        return ours > theirs if better else theirs > ours


@dataclass(frozen=True)
class SeedMean:
    """Mean of one seed's scores."""

    seed: int
    mean: float


@dataclass(frozen=True)
class Summary:
    """One cell of the main table: a variant's own level, compared with nothing."""

    variant: str
    dataset: str
    metric: str
    n_seeds: int = 0
    """0 for an upscaler without seeds."""
    seeds_total: int = 0
    distinct_seeds: int = 0
    n_images: int = 0
    """Images that every seed has; 0 for a metric of the whole set."""
    images_left_out: int = 0
    diverged: int = 0
    mean: float | None = None
    """Over seeds and images; None if there is no score."""
    low: float | None = None
    """95 % t interval over seeds, on these images; None below two seeds."""
    high: float | None = None
    sd: float | None = None
    """Standard deviation of the per-seed means."""
    per_seed: tuple[SeedMean, ...] = ()
    """Empty for an upscaler without seeds."""


@dataclass(frozen=True)
class Effect:
    """What a level of an axis of a grid does, at one dataset and metric, in the metric's units.

    A main effect: the level minus the axis's first level, averaged over the combinations of the
    other axes. With `by_axis`, an interaction: how much that difference changes where `by_axis`
    goes from its first level to `by_level`. Exploratory: there is no verdict.
    """

    dataset: str
    metric: str
    axis: str
    """Dotted key."""
    level: str
    first: str
    """The axis's first level."""
    by_axis: str
    """The other axis of an interaction; empty for a main effect."""
    by_level: str
    by_first: str
    higher_is_better: bool | None
    n_combinations: int = 0
    """Combinations of the other axes in these numbers."""
    same_student: int = 0
    """Combinations left out because two of their students are the very same, or because they are
    the students of another combination."""
    unmeasured: int = 0
    """Combinations left out because one of their variants has no score."""
    n_seeds: int = 0
    """Seeds that every variant in these numbers has."""
    seeds_total: int = 0
    """Seeds that any of these variants was given."""
    distinct_seeds: int = 0
    n_images: int = 0
    """Images that every seed has; 0 for a metric of the whole set."""
    images_left_out: int = 0
    diverged: int = 0
    """Diverged trainings (variant and seed) among all these variants, unmeasured ones included."""
    delta: float | None = None
    low: float | None = None
    """95 % t interval over seeds, on these images; not adjusted for the number of effects."""
    high: float | None = None
    df: int = 0
    p_value: float | None = None
    sign_flip_p: float | None = None
    sd: float | None = None
    """Standard deviation of the per-seed effects."""


Record = TypeVar("Record", Comparison, Summary, Effect)
_NESTED: dict[type, type] = {Comparison: WeightsClaim, Summary: SeedMean}
_DTYPES = {
    "str": "object",
    "str | None": "object",
    "int": "int64",
    "int | None": "Int64",
    "float | None": "float64",
    "bool": "bool",
    "bool | None": "boolean",
}


def to_frame(
    records: Sequence[Comparison] | Sequence[Summary] | Sequence[Effect], kind: type = Comparison
) -> pd.DataFrame:
    """One row per record of `kind` (Comparison, Summary or Effect), by dataset, metric, variant.

    None becomes a missing value, `per_seed` a JSON text; fit for parquet and for csv.
    """
    import pandas as pd

    ordered = sorted(records, key=lambda r: (r.dataset, r.metric, getattr(r, "variant", "")))
    columns: dict[str, pd.Series[Any]] = {}
    for field in dataclasses.fields(kind):
        cells: list[Any] = [getattr(record, field.name) for record in ordered]
        if field.name == "per_seed":
            cells = [json.dumps([dataclasses.asdict(item) for item in cell]) for cell in cells]
        columns[field.name] = pd.Series(cells, dtype=_DTYPES.get(str(field.type), "object"))
    return pd.DataFrame(columns)


@overload
def from_frame(frame: pd.DataFrame) -> list[Comparison]: ...


@overload
def from_frame(frame: pd.DataFrame, kind: type[Record]) -> list[Record]: ...


def from_frame(frame: pd.DataFrame, kind: type[Any] = Comparison) -> list[Any]:
    """The records that `to_frame` wrote, in the frame's order; DataError if a column is absent."""
    fields = dataclasses.fields(kind)
    absent = [field.name for field in fields if field.name not in frame.columns]
    if absent:
        raise DataError(
            f"comparison: no column '{absent[0]}' in the {kind.__name__} table; "
            "run `tadsr compare` again"
        )
    columns = [
        [_cell(value, str(field.type), _NESTED.get(kind)) for value in frame[field.name].tolist()]
        for field in fields
    ]
    return [kind(*row) for row in zip(*columns, strict=True)]


def _cell(value: Any, kind: str, nested: type | None) -> Any:
    """One value of a column as the field of type `kind` holds it."""
    import pandas as pd

    if nested and kind.startswith("tuple"):
        return tuple(nested(**item) for item in json.loads(value))
    if kind.endswith("| None") and pd.isna(value):
        return None
    return {"str": str, "int": int, "float": float, "bool": bool}[kind.split(" ")[0]](value)
