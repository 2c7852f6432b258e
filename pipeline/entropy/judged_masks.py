"""Pixels of judged masks, counted: all that mask scores are computed from."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, UInt8

from pipeline.entropies import CellMasks
from pipeline.entropy.kernels import count_codes
from pipeline.masks import N_CODES
from pipeline.vocabulary import JUDGED, SINGLE_CLICKS

_CENTER = SINGLE_CLICKS.index("center")


def judged_counts(
    mask_code: UInt8[np.ndarray, "object prompt proposal y x"], chosen: Mapping[str, CellMasks]
) -> Int64[np.ndarray, "object judged code"]:
    """Pixels of each code in the judged masks of the click ``center``, in order of ``JUDGED``."""
    n_px = mask_code.shape[-2] * mask_code.shape[-1]
    counts = np.zeros((len(mask_code), len(JUDGED), N_CODES), np.int64)
    for place, judged in enumerate(JUDGED):
        proposal = chosen[judged].is_judged[:, _CENTER].argmax(axis=-1)
        judged_code = mask_code[np.arange(len(mask_code)), _CENTER, proposal]
        count_codes(judged_code.reshape(len(mask_code), n_px), counts[:, place])
    return counts
