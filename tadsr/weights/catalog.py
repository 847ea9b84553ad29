"""The weight files that metrics need: a frozen table.

The URLs are those that torchvision, pyiqa and CLIP use themselves, and the paths (relative to
`TORCH_HOME`) are where they look, so that files fetched by any of them are found here too.
"""

from __future__ import annotations

from dataclasses import dataclass

_PYIQA = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/"
_CLIP_SHA256 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"


@dataclass(frozen=True)
class WeightFile:
    """One file of pretrained weights."""

    name: str
    """Name in `MetricSpec.weights` and on the command line."""
    url: str
    """Official address (https)."""
    path: str
    """Where it lies, relative to the weights folder."""
    sha256: str | None
    """Full sha256 or its published prefix (hex); None: no official value is known."""
    content_checked: bool
    """Whether a file already in place is refused when its sha256 differs.

    False where other files hold the same tensors (AlexNet without its classifier, which LPIPS
    never reads): there the digest of the tensors in the metric card decides.
    """
    megabytes: int | None
    """Approximate size; None: not known."""
    licence: str
    """Terms of the weights, as far as they are stated."""
    needed_by: tuple[str, ...]
    """Metric ids."""
    starts_with: bytes = b""
    """First bytes of a right file, checked where there is no sha256."""
    local_source: tuple[str, str] | None = None
    """(package, path inside it) of an identical file that an installed package ships."""

    @property
    def file_name(self) -> str:
        """Last part of the path; the name looked for on a mirror."""
        return self.path.rsplit("/", 1)[-1]


CATALOG: dict[str, WeightFile] = {
    entry.name: entry
    for entry in (
        WeightFile(
            name="alexnet",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            path="hub/checkpoints/alexnet-owt-7be5be79.pth",
            sha256="7be5be79",
            content_checked=False,
            megabytes=244,
            licence="BSD-3-Clause (torchvision); trained on ImageNet (research use)",
            needed_by=("lpips",),
        ),
        WeightFile(
            name="lpips-alex",
            url=_PYIQA + "LPIPS_v0.1_alex-df73285e.pth",
            path="hub/pyiqa/LPIPS_v0.1_alex-df73285e.pth",
            sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            content_checked=True,
            megabytes=1,
            licence="BSD-2-Clause (LPIPS)",
            needed_by=("lpips",),
            local_source=("lpips", "weights/v0.1/alex.pth"),
        ),
        WeightFile(
            name="niqe",
            url=_PYIQA + "niqe_modelparameters.mat",
            path="hub/pyiqa/niqe_modelparameters.mat",
            sha256=None,
            content_checked=False,
            megabytes=1,
            licence="LIVE lab, University of Texas at Austin (free with citation)",
            needed_by=("niqe",),
            starts_with=b"MATLAB 5.0 MAT-file",
        ),
        WeightFile(
            name="musiq-koniq",
            url=_PYIQA + "musiq_koniq_ckpt-e95806b9.pth",
            path="hub/pyiqa/musiq_koniq_ckpt-e95806b9.pth",
            sha256="e95806b9",
            content_checked=True,
            megabytes=108,  # 27 million float32 parameters
            licence="Apache-2.0 (google-research/musiq), converted by pyiqa (non-commercial)",
            needed_by=("musiq",),
        ),
        WeightFile(
            name="clip-rn50",
            url=f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SHA256}/RN50.pt",
            path="hub/clip/RN50.pt",
            sha256=_CLIP_SHA256,
            content_checked=True,
            megabytes=256,
            licence="MIT (CLIP)",
            needed_by=("clipiqa",),
        ),
    )
}
"""Every weight file known by name."""
