"""Pearson correlation of measures over objects."""

import numpy as np
from jaxtyping import Float


def pearson(columns: Float[np.ndarray, "object column"]) -> Float[np.ndarray, "column column"]:
    """Pearson correlation of every pair of columns.

    Returns
    -------
    In [-1, 1], symmetric, 1 on the diagonal; NaN, the diagonal too, in the row and the column of
    a constant (one object makes every column constant).

    Raises
    ------
    ValueError
        If there is no object or a value is not finite.
    """
    if not len(columns) or not np.isfinite(columns).all():
        raise ValueError(f"columns must be finite and not empty, got {_summary(columns)}")
    centred = columns.astype(np.float64)
    # Relative to the largest value, so that squares neither overflow nor vanish.
    centred /= np.maximum(np.abs(centred).max(axis=0), np.finfo(np.float64).tiny)
    centred -= centred.mean(axis=0)
    is_constant = np.ptp(columns, axis=0) == 0
    length = np.where(is_constant, 1, np.linalg.norm(centred, axis=0))
    centred /= np.where(length > 0, length, 1)
    correlation = np.clip(centred.T @ centred, -1, 1)
    np.fill_diagonal(correlation, 1)
    correlation[is_constant] = correlation[:, is_constant] = np.nan
    return correlation


def _summary(columns: Float[np.ndarray, "object column"]) -> str:
    n_faulty = int((~np.isfinite(columns)).sum())
    return f"{n_faulty} values that are not finite in an array of shape {columns.shape}"
