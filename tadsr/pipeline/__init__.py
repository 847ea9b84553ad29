"""From a low-resolution image to a high-resolution one, with trained weights."""

from __future__ import annotations

from tadsr.pipeline.pipeline import TADSRPipeline, TADSRPipelineOutput

__all__ = ["TADSRPipeline", "TADSRPipelineOutput"]
