"""The weight files that metrics need, and the published models: a frozen table.

URLs of metric weights are those that torchvision, pyiqa and CLIP use themselves, and the paths
(relative to the weights folder) are where they look, so that files fetched by any of them are
found here too. Published models lie in `tadsr/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_PYIQA = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/"
_CLIP_SHA256 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"

_RESSHIFT = "https://github.com/zsyOAOA/ResShift/releases/download/v2.0/"
_SINSR = "https://github.com/wyf0912/SinSR/releases/download/v1.0/"


@dataclass(frozen=True)
class WeightFile:
    """One file of pretrained weights."""

    name: str
    """Name in `MetricSpec.weights` and on the command line."""
    url: str | None
    """Official address (https); None: no place to download it from is known."""
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
    kind: Literal["metric", "denoiser", "codec"] = "metric"
    """Codec, schedule and scale of a denoiser are in `tadsr.config.published.PUBLISHED`."""

    @property
    def file_name(self) -> str:
        """Last part of the path; the name looked for on a mirror."""
        return self.path.rsplit("/", 1)[-1]


def _model(
    file: str, release: str | None, kind: Literal["denoiser", "codec"], licence: str
) -> WeightFile:
    """A published model: neither its size nor its sha256 is known to us."""
    return WeightFile(
        name=file.lower().removesuffix(".pth").replace("_", "-"),
        url=None if release is None else release + file,
        path=f"tadsr/{file}",
        sha256=None,
        content_checked=True,
        megabytes=None,
        licence=licence,
        needed_by=(),
        kind=kind,
    )


# As ResShift's README and SinSR's LICENSE state them; TAD-SR's README states none.
_NTU = "NTU S-Lab License 1.0, non-commercial (ResShift)"
_SINSR_TERMS = "CC BY-NC-SA 4.0, academic research only (SinSR; parts: ResShift's licence)"
_TADSR_TERMS = "none stated; builds on ResShift and SinSR, both non-commercial"

_MODELS = (
    _model("resshift_realsrx4_s15_v1.pth", _RESSHIFT, "denoiser", _NTU),
    _model("resshift_realsrx4_s15_v2.pth", _RESSHIFT, "denoiser", _NTU),
    _model("resshift_realsrx4_s4_v3.pth", _RESSHIFT, "denoiser", _NTU),
    _model("resshift_bicsrx4_s4.pth", _RESSHIFT, "denoiser", _NTU),
    _model("resshift_faceir_s4.pth", _RESSHIFT, "denoiser", _NTU),
    _model("autoencoder_vq_f4.pth", _RESSHIFT, "codec", _NTU),
    _model("ffhq512_vq_f8_dim8_face.pth", _RESSHIFT, "codec", _NTU),
    _model("SinSR_v1.pth", _SINSR, "denoiser", _SINSR_TERMS),
    _model("SinSR_v2.pth", _SINSR, "denoiser", _SINSR_TERMS),
    _model("TAD-SR.pth", None, "denoiser", _TADSR_TERMS),
    _model("TAD-faceir.pth", None, "denoiser", _TADSR_TERMS),
)

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
        WeightFile(
            name="inception-fid",
            url=_PYIQA + "pt_inception-2015-12-05-6726825d.pth",
            path="hub/pyiqa/pt_inception-2015-12-05-6726825d.pth",
            sha256="6726825d",
            content_checked=True,
            megabytes=95,  # 24 million float32 parameters
            licence="Apache-2.0 (TensorFlow's Inception, converted by pytorch-fid)",
            needed_by=("fid", "fid-ffhq"),
        ),
        WeightFile(
            name="ffhq-fid-stats",
            url=_PYIQA + "ffhq_clean_trainval70k_512.npz",
            path="hub/pyiqa/ffhq_clean_trainval70k_512.npz",
            sha256=None,
            content_checked=False,
            megabytes=34,  # 2048 x 2049 float64
            licence="MIT (clean-fid); statistics of FFHQ (non-commercial)",
            needed_by=("fid-ffhq",),
            starts_with=b"PK",
        ),
        *_MODELS,
    )
}
"""Every weight file known by name."""

METRIC_WEIGHTS = tuple(name for name, entry in CATALOG.items() if entry.kind == "metric")
"""Names of what metrics need; published models are fetched by name alone."""


def canonical_name(name: str) -> str:
    """The catalogue's name for a name or a file's name, in any case, with or without `.pth`.

    A name that stands for nothing comes back as it is.

    >>> canonical_name("SinSR_v1.pth")
    'sinsr-v1'
    """
    wanted = name.lower().removesuffix(".pth")
    for entry in CATALOG.values():
        if wanted in (entry.name, entry.file_name.lower().removesuffix(".pth")):
            return entry.name
    return name
