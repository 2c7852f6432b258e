"""Derives seeds from names, so that the order of work does not change random numbers."""

import hashlib


def derive_seed(*names: int | str) -> int:
    """Hash names into a 64-bit seed, the same on every machine and in every run.

    A number counts as its digits: 1 and ``"1"`` give the same seed.
    """
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
