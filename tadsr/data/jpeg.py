"""What a JPEG file does to an image: baseline, 4:2:0, on tensors of any device.

Computes what the Independent JPEG Group's library computes with its default settings (ITU-T T.81,
JFIF 1.02): 16-bit fixed-point colour conversion, 13-bit fixed-point DCT in two rounded passes, the
tables of T.81 annex K scaled by quality, chroma averaged 2x2 and interpolated back by a triangle
filter. Entropy coding is left out: it loses nothing. A 1-D pass of the DCT is an integer matrix
and one rounding shift; in float64 all its sums are exact, so the pixels are the same on every
device, in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""T.81 table K.1, rows by vertical frequency."""

CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""T.81 table K.2."""

# Rows Y, Cb, Cr of RGB, times 2^16 and rounded, then the constant with the rounding bias.
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_TO_YCC_BIAS = (1 << 15, (128 << 16) + (1 << 15) - 1, (128 << 16) + (1 << 15) - 1)
_CR_TO_RED, _CB_TO_BLUE, _CB_TO_GREEN, _CR_TO_GREEN = (
    x / (1 << 16) for x in (91881, 116130, -22554, -46802)
)


def jpeg_round_trip(images: torch.Tensor, quality: Sequence[int] | torch.Tensor) -> torch.Tensor:
    """Encode and decode (N, 3, H, W) images, image n with quality[n], an integer of 1 to 100.

    uint8 levels give uint8 levels; floats are taken in [0, 1] and rounded to levels first, as any
    file does, and come back as float in [0, 1]. Equal to libjpeg-turbo's result, bit for bit.

    Raises:
        ValueError: wrong shape or type, or a quality outside 1..100.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected (N, 3, H, W), got {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return _round_trip(images.to(torch.float64), quality).to(torch.uint8)
    if not images.is_floating_point():
        raise ValueError(f"expected uint8 or float, got {images.dtype}")
    levels = (images.clamp(0, 1) * 255).round().to(torch.float64)
    return (_round_trip(levels, quality) / 255).to(images.dtype)


def quantisation_tables(quality: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(luma, chroma) tables, (8, 8) float64, of `quality` on the scale of the JPEG group."""
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality must be 1 to 100, got {quality}")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = torch.tensor([LUMA_TABLE, CHROMA_TABLE], dtype=torch.int64)
    luma, chroma = ((tables * percent + 50) // 100).clamp(1, 255).to(torch.float64)
    return luma, chroma


def _round_trip(levels: torch.Tensor, quality: Sequence[int] | torch.Tensor) -> torch.Tensor:
    qualities = [int(q) for q in quality]
    if len(qualities) != levels.shape[0]:
        raise ValueError(f"{levels.shape[0]} images and {len(qualities)} qualities")
    if not qualities:
        return levels
    height, width = levels.shape[-2:]
    tables = [quantisation_tables(q) for q in qualities]
    luma, chroma = (torch.stack(t).to(levels.device) for t in zip(*tables, strict=True))
    ycc = _to_ycc(levels)
    y = _compress(_pad(ycc[:, :1], 8, 8), luma)[..., :height, :width]
    # Columns are completed before averaging, rows after it: the library works on strips of rows.
    small = _pad(_halve(_pad(ycc[:, 1:], 2, 16)), 8, 8)
    small = _compress(small, chroma)[..., : (height + 1) // 2, : (width + 1) // 2]
    cb, cr = _double(small)[..., :height, :width].unbind(dim=1)
    return _to_rgb(y[:, 0], cb, cr)


def _to_ycc(rgb: torch.Tensor) -> torch.Tensor:
    matrix = torch.tensor(_TO_YCC, dtype=torch.float64, device=rgb.device) / (1 << 16)
    bias = torch.tensor(_TO_YCC_BIAS, dtype=torch.float64, device=rgb.device) / (1 << 16)
    return torch.matmul(matrix, rgb.flatten(2)).add_(bias[:, None]).floor_().view_as(rgb)


def _to_rgb(y: torch.Tensor, cb: torch.Tensor, cr: torch.Tensor) -> torch.Tensor:
    cb, cr = cb - 128, cr - 128
    red = y + _round(_CR_TO_RED * cr)
    green = y + _round(_CB_TO_GREEN * cb + _CR_TO_GREEN * cr)
    blue = y + _round(_CB_TO_BLUE * cb)
    return torch.stack([red, green, blue], dim=1).clamp_(0, 255)


def _round(values: torch.Tensor) -> torch.Tensor:
    """Round halves up, in place."""
    return values.add_(0.5).floor_()


def _pad(planes: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Repeat the last row and column up to multiples of `rows` and `columns`."""
    down, right = -planes.shape[-2] % rows, -planes.shape[-1] % columns
    return F.pad(planes, (0, right, 0, down), mode="replicate") if down or right else planes


def _halve(planes: torch.Tensor) -> torch.Tensor:
    """Means of 2x2 pixels; the rounding bias alternates between columns."""
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    sums = rows[..., ::2] + rows[..., 1::2]
    bias = torch.ones(sums.shape[-1], dtype=sums.dtype, device=sums.device)
    bias[1::2] = 2
    return ((sums + bias) / 4).floor()


def _double(planes: torch.Tensor) -> torch.Tensor:
    """Twice the rows and columns: 3/4 of the nearer and 1/4 of the further sample on each axis.

    Planes of one or two columns are repeated instead, as the library does.
    """
    if planes.shape[-1] <= 2:
        return planes.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    count, channels, height, width = planes.shape
    edged = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    middle = edged[..., 1:-1, :]
    rows = planes.new_empty(count, channels, height, 2, width + 2)
    torch.add(edged[..., :-2, :], middle, alpha=3, out=rows[..., 0, :])
    torch.add(edged[..., 2:, :], middle, alpha=3, out=rows[..., 1, :])
    rows = rows.view(count, channels, 2 * height, width + 2)
    middle = rows[..., 1:-1]
    both = planes.new_empty(count, channels, 2 * height, width, 2)
    torch.add(rows[..., :-2], middle, alpha=3, out=both[..., 0])
    torch.add(rows[..., 2:], middle, alpha=3, out=both[..., 1])
    both += both.new_tensor([8, 7])  # sixteenths; alternating, so that no side is favoured
    return both.mul_(1 / 16).floor_().view(count, channels, 2 * height, 2 * width)


def _compress(planes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """DCT, quantisation with table (N, 8, 8), and back; (N, C, H, W) with sides multiples of 8."""
    count, channels, height, width = planes.shape
    matrices = _dct_passes(planes.device)
    strips = (count, channels * (height // 8), 8, width)
    blocks = (count, channels * (height // 8), 8, width // 8, 8)
    steps = table.view(count, 1, 8, 1, 8)
    # Rows, then columns; the result is 8 times the DCT.
    values = _round((planes - 128).reshape(blocks) @ matrices[0])
    values = _round(matrices[1] @ values.view(strips)).view(blocks).div_(8 * steps)
    levels = values.abs().add_(0.5).floor_().copysign_(values).mul_(steps)  # halves away from zero
    # Columns, then rows.
    values = _round(matrices[2] @ levels.view(strips)).view(blocks)
    values = _round(values @ matrices[3])
    return values.add_(128).clamp_(0, 255).view(planes.shape)


@lru_cache(maxsize=8)
def _dct_passes(
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The matrices of the four passes, with their shifts: powers of two, hence still exact."""
    matrix = _dct_matrix()
    passes = (matrix.T / 2**11, matrix / 2**15, matrix.T / 2**11, matrix / 2**18)
    first, second, third, fourth = (m.contiguous().to(device) for m in passes)
    return first, second, third, fourth


def _dct_matrix() -> torch.Tensor:
    """(8, 8) 1-D DCT times sqrt(8) 2^13, one frequency a row, with the library's rounding.

    Loeffler, Ligtenberg and Moschytz (ICASSP 1989) factor the DCT into rotations, whose constants
    the library rounds to 13 bits; multiplied out, the matrix has sums of rounded constants.
    """
    constants = (0.541196100, 0.765366865, 1.847759065, 1.175875602)
    r, up, down, s = (round(x * 8192) for x in constants)
    constants = (0.899976223, 2.562915447, 1.961570560, 0.390180644)
    a, b, c, d = (round(x * 8192) for x in constants)
    constants = (1.501321110, 3.072711026, 2.053119869, 0.298631336)
    e1, e3, e5, e7 = (round(x * 8192) for x in constants)
    half = {  # the first four columns; the others mirror them, with the sign changed in odd rows
        0: (8192, 8192, 8192, 8192),
        1: (s + e1 - a - d, s, s - d, s - a),
        2: (r + up, r, -r, -r - up),
        3: (s, s + e3 - b - c, s - b, s - c),
        4: (8192, -8192, -8192, 8192),
        5: (s - d, s - b, s + e5 - b - d, s),
        6: (r, r - down, down - r, -r),
        7: (s - a, s - c, s, s + e7 - a - c),
    }
    rows = [[*row, *(x * (-1) ** k for x in reversed(row))] for k, row in half.items()]
    return torch.tensor(rows, dtype=torch.float64)
