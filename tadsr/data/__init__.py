"""Images on disk, degradations, manifests and training crops.

`images` is the only reader and writer of pictures, `resize` the only bicubic resampler,
`realesrgan` the two-stage degradation, `photos` the built-in photographs, `manifest` builds
`data/<dataset>/`, and `dataset` serves what lies there to training and evaluation.
"""
