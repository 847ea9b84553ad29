"""tadsr: the ablation and benchmark suite for one-step diffusion super-resolution."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["TADSRPipeline", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the pipeline, and so torch and diffusers, only when it is asked for."""
    if name == "TADSRPipeline":
        from tadsr.pipeline import TADSRPipeline

        return TADSRPipeline
    raise AttributeError(f"module 'tadsr' has no attribute '{name}'")
