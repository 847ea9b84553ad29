"""The tables of the report, each a function from `ReportContent` to a `Table`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tadsr.compare import UNVERIFIED
from tadsr.compare.results import Comparison, Effect
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.part_means import PART, lack, part_notes
from tadsr.report.table import GAP, Cell, Column, Table
from tadsr.report.wording import (
    TONES,
    caption,
    count,
    half_text,
    number,
    p_text,
    primary_comparisons,
)

LOST = "‡"
DOUBTED = "†"
"""At each number of unverified weights."""


def main_table(content: ReportContent, dataset: str) -> Table:
    """Every upscaler on one test set: means with intervals, and the declared verdicts."""
    metrics = content.defined_metrics(dataset)
    endpoints = [m for m in metrics if _is_primary(content, dataset, m.id)]
    upscalers = (*content.baselines, *content.variants)
    ranks = {m.id: _ranks(content, dataset, m) for m in metrics}
    rows = []
    for upscaler in upscalers:
        cells = [label_cell(content, upscaler), seeds_cell(content, upscaler)]
        cells += [mean_cell(content, dataset, upscaler, m, ranks[m.id]) for m in metrics]
        cells += [_verdict_cell(content, dataset, upscaler, m.id) for m in endpoints]
        rows.append(tuple(cells))
    columns = [Column("upscaler", "Upscaler", numeric=False), Column("seeds", "Seeds")]
    columns += [_metric_column(content, m) for m in metrics]
    columns += [
        Column(f"verdict_{m.id}", f"{m.title} vs {content.reference}", numeric=False)
        for m in endpoints
    ]
    images = count(content.dataset(dataset).n_images, "image")
    return Table(
        name=f"main-{dataset}",
        title=dataset,
        caption=caption("tables", "main", images=images, seeds=seeds_of(content)),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(_notes(content, dataset, metrics)),
        rules=(len(content.baselines),),
    )


def seeds_of(content: ReportContent) -> str:
    """`3 seeds`: what the experiment asks for; rows that lost some say so."""
    return count(len(content.experiment.seeds), "seed")


def _is_primary(content: ReportContent, dataset: str, metric: str) -> bool:
    return any(e.dataset == dataset and e.metric == metric for e in content.experiment.primary)


def label_cell(content: ReportContent, upscaler: str) -> Cell:
    """The name of a row."""
    return Cell(f"{upscaler} (reference)" if upscaler == content.reference else upscaler)


def lost_seeds(content: ReportContent, variant: str) -> bool:
    """Whether a variant diverged, failed or is missing for at least one seed."""
    return any(cell.status != "done" for cell in content.cells_of(variant))


def seeds_cell(content: ReportContent, upscaler: str) -> Cell:
    """The number of seeds: `3`, or `2 (1/3 diverged)`, or nothing for baselines."""
    cells = content.cells_of(upscaler)
    if not cells:
        return Cell("")
    states = [cell.status for cell in cells]
    lost = [
        f"{states.count(word)}/{len(cells)} {word}"
        for word in dict.fromkeys(states)
        if word != "done"
    ]
    done = states.count("done")
    if not lost:
        return Cell(str(done), value=done)
    return Cell(f"{done} ({', '.join(lost)})", value=done, marks=LOST, tone="warn")


def _metric_column(content: ReportContent, metric: MetricSpec) -> Column:
    doubted = content.unverified(metric.id)
    key = f"{metric.id}_{UNVERIFIED}" if doubted else metric.id
    return Column(key, metric.title, metric.arrow, marks=DOUBTED if doubted else "")


def _ranks(content: ReportContent, dataset: str, metric: MetricSpec) -> dict[str, int]:
    """Best (1) and second (2) as displayed: what looks equal ranks equal.

    A variant that lost a seed has the mean of its survivors, and is not ranked; neither are means
    over fewer images than others, nor numbers of unverified weights.
    """
    if content.unverified(metric.id):
        return {}
    shown: dict[str, float] = {}
    for upscaler in (*content.baselines, *content.variants):
        mean = content.means.get((dataset, upscaler, metric.id))
        part = lost_seeds(content, upscaler) or lack(content, dataset, upscaler, metric.id)
        if mean is not None and not part:
            shown[upscaler] = round(mean.mean, metric.decimals)
    order = sorted(set(shown.values()), reverse=metric.higher_is_better)[:2]
    return {name: order.index(value) + 1 for name, value in shown.items() if value in order}


def mean_cell(
    content: ReportContent,
    dataset: str,
    upscaler: str,
    metric: MetricSpec,
    ranks: Mapping[str, int] | None = None,
) -> Cell:
    """A mean with half of its interval, marked by its rank if `ranks` are given."""
    mean = content.means.get((dataset, upscaler, metric.id))
    if mean is None:
        return Cell(GAP, tone="muted")
    half = mean.half_width
    return Cell(
        number(mean.mean, metric.decimals),
        value=mean.mean,
        half_width=half_text(half, metric.decimals),
        half_value=half,
        rank=(ranks or {}).get(upscaler, 0),
        marks=DOUBTED * content.unverified(metric.id)
        + PART * bool(lack(content, dataset, upscaler, metric.id)),
    )


def _verdict_cell(content: ReportContent, dataset: str, upscaler: str, metric: str) -> Cell:
    if upscaler == content.reference:
        return Cell("reference", tone="muted")
    for c in primary_comparisons(content):
        if (c.dataset, c.variant, c.metric) == (dataset, upscaler, metric):
            return Cell(c.verdict or GAP, tone=TONES.get(c.verdict or "", ""))
    return Cell("" if upscaler in content.baselines else GAP, tone="muted")


def lost_note(content: ReportContent) -> tuple[str, ...]:
    """What the mark of a variant that lost seeds means, if there is one."""
    if any(lost_seeds(content, variant) for variant in content.variants):
        return (f"{LOST} Mean over the surviving seeds only, therefore not ranked.",)
    return ()


def _notes(content: ReportContent, dataset: str, metrics: tuple[MetricSpec, ...]) -> list[str]:
    scored = {metric for place, _, metric in content.means if place == dataset}
    notes = [
        f"{GAP} {m.title}: {content.missing.get(m.id, 'no score of it was found')}"
        for m in metrics if m.id in content.missing or m.id not in scored
    ]  # fmt: skip
    notes += unverified_note(content, metrics)
    notes += lost_note(content)
    notes += part_notes(content, dataset, (*content.baselines, *content.variants), metrics)
    absent = [m.title for m in content.metrics if m not in metrics]
    if absent:
        notes.append(f"{dataset} has no HR images, so {', '.join(absent)} cannot be computed.")
    return notes


def unverified_note(content: ReportContent, metrics: Iterable[MetricSpec]) -> list[str]:
    """What the mark of unverified numbers means, if there are any."""
    return doubted_note([m for m in metrics if content.unverified(m.id)])


def doubted_note(metrics: Sequence[MetricSpec]) -> list[str]:
    """The same of metrics that are known to be unverified."""
    titles = [metric.title for metric in metrics]
    return titles and [
        f"{DOUBTED} {', '.join(titles)}: computed with weights that are not known to be the "
        "official ones; not to be cited, not ranked, and in no verdict."
    ]


def comparison_table(content: ReportContent, *, primary: bool) -> Table:
    """Paired differences to the reference, of the declared endpoints or of all others."""
    chosen = [c for c in content.comparisons if c.primary == primary]
    name = "primary" if primary else "exploratory"
    columns = [
        Column("dataset", "Test set", numeric=False),
        Column("metric", "Metric", numeric=False),
        Column("variant", "Variant", numeric=False),
        *difference_columns(f"Δ to {content.reference}"),
        *([Column("p_holm", "Holm p"), Column("verdict", "Verdict", numeric=False)]
          if primary else []),
        Column("n_seeds", "Seeds"),
        Column("n_images", "Images"),
    ]  # fmt: skip
    return Table(
        name=name,
        title="Declared endpoints" if primary else "Exploratory differences",
        caption=caption("tables", name, reference=content.reference, family=len(chosen)),
        columns=tuple(columns),
        rows=tuple(_comparison_row(content, c) for c in chosen),
        notes=tuple(unverified_note(content, metrics_of(content, chosen))),
        rules=group_starts(chosen),
    )


def metrics_of(content: ReportContent, records: Iterable[Comparison | Effect]) -> list[MetricSpec]:
    """The metrics of some records, each once."""
    return [content.metric(name) for name in dict.fromkeys(record.metric for record in records)]


def _comparison_row(content: ReportContent, c: Comparison) -> tuple[Cell, ...]:
    spec = content.metric(c.metric)
    verdict = [
        Cell(p_text(c.p_adjusted), value=c.p_adjusted),
        Cell(c.verdict or GAP, tone=TONES.get(c.verdict or "", "")),
    ]
    return (
        Cell(c.dataset),
        Cell(f"{spec.title} {spec.arrow}"),
        Cell(c.variant),
        *difference_cells(c, spec.decimals, content),
        *(verdict if c.primary else []),
        Cell(str(c.n_seeds), value=c.n_seeds),
        Cell(str(c.n_images), value=c.n_images),
    )


def group_starts(records: Sequence[Comparison | Effect]) -> tuple[int, ...]:
    """Where another test set or metric begins: a rule stands before it."""
    places = [(record.dataset, record.metric) for record in records]
    return tuple(i for i in range(1, len(places)) if places[i - 1] != places[i])


def difference_columns(title: str) -> tuple[Column, Column, Column]:
    """The columns of `difference_cells`."""
    return Column("delta", title), Column("interval", "95 % interval"), Column("p", "p")


def difference_cells(
    c: Comparison | Effect, decimals: int, content: ReportContent
) -> tuple[Cell, Cell, Cell]:
    """A difference, its 95 % interval and p."""
    interval, half, ends = GAP, None, None
    marks = DOUBTED if content.unverified(c.metric) and c.delta is not None else ""
    if c.low is not None and c.high is not None:
        low, high = (number(bound, decimals, sign=True) for bound in (c.low, c.high))
        interval, half, ends = f"{low} to {high}", (c.high - c.low) / 2, (c.low, c.high)
    return (
        Cell(number(c.delta, decimals, sign=True), value=c.delta, half_value=half, marks=marks),
        Cell(interval, bounds=ends),
        Cell(p_text(c.p_value), value=c.p_value),
    )
