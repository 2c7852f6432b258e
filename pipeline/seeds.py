"""Seeds that follow from names, so that no order of work changes them."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Hash the parts into a seed of 64 bits; equal on every machine and in every run."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
