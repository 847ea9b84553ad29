"""Whether the validation images are any that a search may be judged on."""

from __future__ import annotations

from tadsr.config.sweep import SweepSpec
from tadsr.data.manifest import read_manifest
from tadsr.errors import TadsrError
from tadsr.plan import Plan


def check_images(plan: Plan, spec: SweepSpec) -> None:
    """Refuse validation images that are test images too, and too few for the pruner.

    Of test sets the digests alone are looked at, which their manifests hold.

    Raises:
        TadsrError: naming the images.
    """
    val = read_manifest(plan.dataset("val"))
    count, pruner = len(val), spec.pruning
    if pruner.kind == "wilcoxon" and 0.5**count >= pruner.threshold:
        raise TadsrError(
            f"pruner wilcoxon: from {count} validation images no p is below {0.5**count:.2g}, and "
            f"the threshold is {pruner.threshold:g}; add images, or choose hyperband"
        )
    known = dict(zip(val["hr_sha256"], val["image"], strict=True))
    for name in plan.experiment.data.test:
        rows = read_manifest(plan.dataset(name))
        shared = [known[digest] for digest in rows["hr_sha256"] if digest and digest in known]
        if shared:
            raise TadsrError(
                f"data.val: '{shared[0]}' is in test set '{name}' too ({len(shared)} in all): a "
                "search would be tuned on test images; choose other validation images"
            )
