"""Inner loops of the stage ``entropy``, compiled by Numba; they release the GIL.

Shape checkers cannot wrap compiled functions, hence ``no_type_check``: docstrings name the shapes,
and the callers in ``pipeline.entropy.mixtures`` and ``pipeline.entropy.comparisons`` check them.
"""

import math
from typing import Final, no_type_check

import numpy as np
from numba import njit

from pipeline.masks import FIRST_FOREGROUND_CODE

BLOCK_PX: Final = 16384
"""Pixels to which all masks are added in one pass: their sums stay in a core's cache."""

LOG_PX: Final = 256
"""Pixels whose logarithms are computed in one pass."""

N_LANES: Final = 6
"""Number of rows of scratch memory that ``row_entropy`` needs."""

SMALLEST: Final = 1e-300
"""Replaces 0 before a logarithm is taken."""

TO_HIGHEST_BITS: Final = np.uint64((128 - FIRST_FOREGROUND_CODE) * 0x0101010101010101)
"""Added to eight codes in a word, it sets the highest bit of each byte in the foreground alone."""

FOREGROUND_ABOVE: Final = 0.5
"""A pixel of a mixture is foreground above this probability."""

TWO_OVER_LN2: Final = 2 / math.log(2)
ONE_LESS_ROOT: Final = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
"""Difference of the bits of the float64 numbers 1 and sqrt(1/2), taken as whole numbers."""

TWO_TO_52: Final = np.uint64(0x4330000000000000)
"""The bits of the float64 number 2^52."""

VECTORS: Final = {"fastmath": {"contract", "reassoc"}, "error_model": "numpy"}
"""Options with which loops compile to vector instructions: sums in any order, and no check of
divisions by 0."""


@njit(nogil=True, cache=True)
@no_type_check
def add_mask(mask_code, weighted, total):  # noqa: ANN001, ANN201 - see the module
    """Add the number that stands for each pixel's code to ``total``; that of code 0 must be 0.

    ``mask_code`` is uint8 (pixel,), C-contiguous; ``weighted``, float64 (code,), has the number of
    each code; ``total`` is float64 (pixel,). Eight codes are read as one word, and words of
    background are skipped: most masks are mainly background.
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
def add_mixtures(mask_code, weight, probability, mixture):  # noqa: ANN001, ANN201 - see the module
    """Add masks, times their weights, to mixtures: each mixture is a weighted mean of masks.

    A mixture grows over several calls, one for each cell. ``mask_code`` is uint8 (object, mask,
    pixel), C-contiguous; ``weight`` float64 (object, mixture, mask), of each mask in each mixture;
    ``probability`` float64 (code,), that each code stands for, 0 for code 0; ``mixture`` float64
    (object, mixture, pixel), added to. Masks of weight 0 take no time.

    Notes
    -----
    Probabilities come from a table: polynomials lose precision near 0 and 1 and were slower. Sums
    are float64, because the entropy of a pixel at 1 - 1e-7, a step of float32 below 1, is 2e-6
    bits.
    """
    n_objects, n_mixtures, n_masks = weight.shape
    n_px = mask_code.shape[2]
    weighted = np.empty(probability.size)
    for row in range(n_objects):
        # All masks are added to a block of pixels before the next: see BLOCK_PX.
        for start in range(0, n_px, BLOCK_PX):
            stop = min(n_px, start + BLOCK_PX)
            for k in range(n_mixtures):
                for mask in range(n_masks):
                    if weight[row, k, mask] != 0:
                        for code in range(probability.size):
                            weighted[code] = weight[row, k, mask] * probability[code]
                        block = mixture[row, k, start:stop]
                        add_mask(mask_code[row, mask, start:stop], weighted, block)


@njit(nogil=True, cache=True)
@no_type_check
def weighted_entropies(p, bits):  # noqa: ANN001, ANN201 - see the module
    """Write the entropy of every mask in bits: sum(p h2(p)) / sum(p), the paper's Eq. 3.

    ``h2(p)`` is the entropy of a pixel that is foreground with probability p. A mask whose
    probabilities are all 0 has the entropy 0. ``p`` is float32 or float64 (mask, pixel), in [0, 1]
    up to rounding; ``bits`` float64 (mask,), written.
    """
    memory = np.empty((N_LANES, LOG_PX))
    for row in range(p.shape[0]):
        bits[row] = row_entropy(p[row], memory)


@njit(nogil=True, cache=True)
@no_type_check
def take_entropies(mixture, numbers, bits):  # noqa: ANN001, ANN201 - see the module
    """Write the entropy (Eq. 3, in bits) of some mixtures of every object; reset these to 0.

    ``mixture`` is float64 (object, mixture, pixel), of which the mixtures with an index in
    ``numbers``, int64 (number,), are 0 afterwards; ``bits`` is float64 (object, number), written.
    """
    memory = np.empty((N_LANES, LOG_PX))
    for i in range(mixture.shape[0]):
        for k in range(numbers.size):
            bits[i, k] = row_entropy(mixture[i, numbers[k]], memory)
            mixture[i, numbers[k]] = 0


@njit(nogil=True, cache=True)
@no_type_check
def count_foreground(mixture, truth, numbers, counts):  # noqa: ANN001, ANN201 - see the module
    """Count the pixels above 0.5 of some mixtures of every object, and their overlap with truths.

    ``mixture`` is float64 (object, mixture, pixel); ``truth`` bool (object, pixel); ``numbers``
    int64 (number,), the indices of mixtures; ``counts`` int64 (object, number, 2), written: pixels
    above 0.5, and how many of them are in the ground truth.
    """
    for i in range(mixture.shape[0]):
        for k in range(numbers.size):
            p = mixture[i, numbers[k]]
            n_foreground = 0
            n_shared = 0
            for px in range(p.size):
                is_foreground = p[px] > FOREGROUND_ABOVE
                n_foreground += is_foreground
                n_shared += is_foreground & truth[i, px]
            counts[i, k, 0] = n_foreground
            counts[i, k, 1] = n_shared


@njit(nogil=True, cache=True, **VECTORS)
@no_type_check
def row_entropy(p, memory):  # noqa: ANN001, ANN201 - see the module
    """Return the entropy (Eq. 3) of one mask in bits; 0 if all its probabilities are 0.

    ``p`` is float32 or float64 (pixel,), in [0, 1] up to rounding; ``memory`` is float64
    (``N_LANES``, ``LOG_PX``), overwritten.
    """
    y, complement, log_y, log_complement = memory[0], memory[1], memory[2], memory[3]
    entropy = 0.0
    norm = 0.0
    for start in range(0, p.size, LOG_PX):
        block = p[start : start + LOG_PX]
        total = 0.0
        for px in range(block.size):
            total += block[px]
        if total == 0:  # a block of background
            continue
        norm += total
        for px in range(block.size):
            foreground = np.float64(block[px])
            # 0 has no logarithm; the sum below multiplies the logarithm of SMALLEST by 0.
            y[px] = max(SMALLEST, foreground)
            complement[px] = max(SMALLEST, 1 - foreground)
        write_log2(y, block.size, log_y, memory[4:])
        write_log2(complement, block.size, log_complement, memory[4:])
        for px in range(block.size):
            foreground = np.float64(block[px])
            background = max(0.0, 1 - foreground)  # weights may add up to an ulp more than 1
            entropy -= foreground * (foreground * log_y[px] + background * log_complement[px])
    # The error of log2 may lift an average of ones above 1.
    return min(entropy / norm, 1.0) if norm > 0 else 0.0


@njit(nogil=True, cache=True, **VECTORS)
@no_type_check
def write_log2(x, n, log2, memory):  # noqa: ANN001, ANN201 - see the module
    """Write the binary logarithms of the first ``n`` numbers of ``x``, with errors below 1e-12.

    ``x`` is float64, above 0 and not subnormal, which is not checked; ``log2`` float64, of which
    the first ``n`` numbers are written; ``memory`` float64, two rows or more of at least ``n``
    numbers, overwritten.

    Notes
    -----
    ``x = 2^e m`` with m in [sqrt(1/2), sqrt(2)), and ``ln m = 2 atanh(s) = 2 (s + s^3/3 + ...)``
    with ``s = (m - 1) / (m + 1)``, at most 0.172. Loops without calls or branches compile to vector
    instructions, and take a third of the time of ``math.log2``.
    """
    exponent, mantissa = memory[0], memory[1]
    of_x, of_exponent, of_mantissa = (
        x.view(np.uint64),
        exponent.view(np.uint64),
        mantissa.view(np.uint64),
    )
    for j in range(n):
        biased = (of_x[j] + ONE_LESS_ROOT) >> np.uint64(52)
        of_mantissa[j] = of_x[j] - ((biased - np.uint64(1023)) << np.uint64(52))
        # A whole number in the last bits of 2^52 becomes a float without a conversion.
        of_exponent[j] = biased | TWO_TO_52
    for j in range(n):
        s = (mantissa[j] - 1) / (mantissa[j] + 1)
        z = s * s
        series = 1 / 15
        for k in range(13, 0, -2):
            series = series * z + 1 / k
        log2[j] = (exponent[j] - (2.0**52 + 1023)) + TWO_OVER_LN2 * s * series


@njit(nogil=True, cache=True)
@no_type_check
def pack_foreground(mask_code, members, hard):  # noqa: ANN001, ANN201 - see the module
    """Write one bit per pixel of some masks: 1 in the foreground.

    Each byte has eight consecutive pixels, in an order that is unspecified, but the same for all
    masks. ``mask_code`` is uint8 (object, mask, pixel), C-contiguous; ``members`` int64 (object,
    member), the indices of the masks to pack; ``hard`` uint8 (object, member, byte), all 0 before,
    where bytes of padding stay 0.

    Notes
    -----
    A multiplication moves the highest bits of eight bytes into one byte. ``numpy.packbits`` needs
    the masks as booleans first, in new memory, and takes four times as long.
    """
    n_words = mask_code.shape[2] // 8
    for i in range(mask_code.shape[0]):
        for k in range(members.shape[1]):
            codes = mask_code[i, members[i, k]]
            words = codes[: 8 * n_words].view(np.uint64)
            for j in range(n_words):
                shifted = (words[j] + TO_HIGHEST_BITS) >> np.uint64(7)
                bits = shifted & np.uint64(0x0101010101010101)
                hard[i, k, j] = (bits * np.uint64(0x0102040810204080)) >> np.uint64(56)
            for px in range(8 * n_words, codes.size):
                is_foreground = codes[px] >= FIRST_FOREGROUND_CODE
                hard[i, k, n_words] = (hard[i, k, n_words] << 1) | is_foreground


@njit(nogil=True, cache=True)
@no_type_check
def count_shared(hard, shared):  # noqa: ANN001, ANN201 - see the module
    """Count the foreground pixels that two masks share, for all pairs of masks of each object.

    ``hard`` is uint64 (object, mask, word), a bit per pixel; ``shared`` int64 (object, mask, mask),
    written on and above the diagonal, which has each mask's own number of foreground pixels.
    """
    n_objects, n_masks, n_words = hard.shape
    for i in range(n_objects):
        for first in range(n_masks):
            for second in range(first, n_masks):
                n_px = 0
                for j in range(n_words):
                    # Count the bits in every two, in every four, in every byte; add the bytes.
                    w = hard[i, first, j] & hard[i, second, j]
                    w -= (w >> np.uint64(1)) & np.uint64(0x5555555555555555)
                    w = (w & np.uint64(0x3333333333333333)) + (
                        (w >> np.uint64(2)) & np.uint64(0x3333333333333333)
                    )
                    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                    n_px += np.int64((w * np.uint64(0x0101010101010101)) >> np.uint64(56))
                shared[i, first, second] = n_px
