"""Inner loops of the entropies, compiled; they release the GIL.

Shape checkers cannot wrap what Numba compiles, hence ``no_type_check``:
``pipeline.entropy.mixtures``, the only caller, states and checks the shapes.
"""

import math
from typing import Final, no_type_check

import numpy as np
from numba import njit

BLOCK_PX: Final = 4096
"""Pixels per pass: their sums stay in the fastest cache while every mask is added."""


@njit(nogil=True, cache=True)
@no_type_check
def add_mask(mask_code, weighted, total):  # noqa: ANN001, ANN201 - see the module
    """Add ``weighted[mask_code]`` to ``total``, all (pixel,); ``weighted[0]`` must be 0.

    Notes
    -----
    Reads eight codes as one word and skips words of background, which is most of most masks.
    """
    words = mask_code[: mask_code.size // 8 * 8].view(np.uint64)
    for j in range(words.size):
        word = words[j]
        if word != 0:
            for byte in range(8):
                code = (word >> np.uint64(8 * byte)) & np.uint64(255)
                total[8 * j + byte] += weighted[code]
    for px in range(8 * words.size, mask_code.size):
        total[px] += weighted[mask_code[px]]


@njit(nogil=True, cache=True)
@no_type_check
def add_mixtures(mask_code, weight, table, mixture):  # noqa: ANN001, ANN201 - see the module
    """Add weighted masks to mixtures of masks.

    Parameters
    ----------
    mask_code
        uint8 (object, mask, pixel), C-contiguous.
    weight
        float64 (object, mixture, mask); masks of weight 0 cost nothing.
    table
        float64 (code,): probability of each code; that of code 0 must be 0.
    mixture
        float64 (object, mixture, pixel), added to.

    Notes
    -----
    Table look-ups, because sums of polynomials lose precision near 0 and 1 and were slower. Sums
    are float64 for the same reason: at 1 - 1e-7, float32's step, a pixel has 2e-6 bits.
    """
    n_objects, n_masks, n_px = mask_code.shape
    weighted = np.empty(table.size)
    for i in range(n_objects):
        for start in range(0, n_px, BLOCK_PX):
            stop = min(n_px, start + BLOCK_PX)
            for k in range(weight.shape[1]):
                for m in range(n_masks):
                    if weight[i, k, m] != 0:
                        for code in range(table.size):
                            weighted[code] = weight[i, k, m] * table[code]
                        add_mask(mask_code[i, m, start:stop], weighted, mixture[i, k, start:stop])


@njit(nogil=True, cache=True)
@no_type_check
def weighted_entropies(p, bits):  # noqa: ANN001, ANN201 - see the module
    """Write the entropy (Eq. 3) of every row.

    Parameters
    ----------
    p
        float32 or float64 (row, pixel), in [0, 1] up to rounding.
    bits
        float64 (row,), written.
    """
    for row in range(p.shape[0]):
        entropy = 0.0
        norm = 0.0
        for px in range(p.shape[1]):
            y = np.float64(p[row, px])
            norm += y
            if 0 < y < 1:
                entropy -= y * (y * math.log2(y) + (1 - y) * math.log2(1 - y))
        # An ulp of log2 may lift an average of ones above 1.
        bits[row] = min(entropy / norm, 1.0) if norm > 0 else 0.0


@njit(nogil=True, cache=True)
@no_type_check
def pack_foreground(mask_code, hard):  # noqa: ANN001, ANN201 - see the module
    """Write one bit per pixel, set in the foreground; pixels of one byte are in no set order.

    Parameters
    ----------
    mask_code
        uint8 (mask, pixel), each row contiguous; foreground has the highest bit set.
    hard
        uint8 (mask, byte), written where there are pixels; 0 before.

    Notes
    -----
    The product moves the highest bits of eight codes into one byte. ``numpy.packbits`` needs the
    masks as booleans first, in new memory, and takes four times as long.
    """
    n_words = mask_code.shape[1] // 8
    for mask in range(mask_code.shape[0]):
        words = mask_code[mask, : 8 * n_words].view(np.uint64)
        for j in range(n_words):
            bits = (words[j] >> np.uint64(7)) & np.uint64(0x0101010101010101)
            hard[mask, j] = (bits * np.uint64(0x0102040810204080)) >> np.uint64(56)
        for px in range(8 * n_words, mask_code.shape[1]):
            hard[mask, n_words] = (hard[mask, n_words] << 1) | (mask_code[mask, px] >> 7)


@njit(nogil=True, cache=True)
@no_type_check
def count_shared(hard, shared):  # noqa: ANN001, ANN201 - see the module
    """Count the pixels that two masks share, for all pairs; with itself, a mask shares all.

    Parameters
    ----------
    hard
        uint64 (object, mask, word): a bit per pixel.
    shared
        int64 (object, mask, mask), written on and above the diagonal.
    """
    n_objects, n_masks, n_words = hard.shape
    for i in range(n_objects):
        for first in range(n_masks):
            for second in range(first, n_masks):
                n_px = 0
                for j in range(n_words):
                    # The bits of a word are counted in pairs, in fours, in bytes, then summed.
                    w = hard[i, first, j] & hard[i, second, j]
                    w -= (w >> np.uint64(1)) & np.uint64(0x5555555555555555)
                    w = (w & np.uint64(0x3333333333333333)) + (
                        (w >> np.uint64(2)) & np.uint64(0x3333333333333333)
                    )
                    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                    n_px += np.int64((w * np.uint64(0x0101010101010101)) >> np.uint64(56))
                shared[i, first, second] = n_px


@njit(nogil=True, cache=True)
@no_type_check
def count_codes(mask_code, label, counts):  # noqa: ANN001, ANN201 - see the module
    """Count the pixels of every mask by their label and code.

    Parameters
    ----------
    mask_code, label
        uint8 (mask, pixel).
    counts
        int64 (mask, label, code), added to.
    """
    for mask in range(mask_code.shape[0]):
        for px in range(mask_code.shape[1]):
            counts[mask, label[mask, px], mask_code[mask, px]] += 1
