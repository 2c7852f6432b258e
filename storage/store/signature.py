"""Signatures, which hold all that the rows of a store depend on: compares and digests them."""

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final, cast

from storage.errors import N_HEX, shown
from storage.store.schema import Value

DIGEST_CHARS: Final = 16
"""Hex digits of a sha256 in a name: 64 bits tell apart a few dozen signatures per cell."""

SOURCE: Final = "source"
"""Entry of a ladder's cell: the family and model whose shards hold its rows.

It is the ladder itself where masks are made smaller.
"""

SHA256: Final = re.compile(r"[0-9a-f]{64}")


def parse_signature(data: Mapping[str, object]) -> dict[str, Value]:
    """Convert a mapping to the form in which a store returns it: keys sorted, tuples as lists.

    Raises
    ------
    ValueError
        If a value is not a str, a number, or a list of these: a store would return another value.
    """
    parsed: dict[str, Value] = {}
    for key in sorted(data):
        value = data[key]
        plain = list(value) if isinstance(value, tuple) else value
        items = plain if isinstance(plain, list) else [plain]
        if not all(isinstance(item, str | int | float) for item in items):
            raise ValueError(
                f"signature.{key} must be a str, a number or a list of these, got {shown(value)}"
            )
        parsed[key] = cast("Value", plain)
    return parsed


def compare(stored: Mapping[str, object], expected: Mapping[str, object]) -> str | None:
    """How ``stored`` differs from ``expected`` in its keys; None if it does not differ.

    Examples
    --------
    >>> compare({"precision": "fp32", "seed": 0}, {"precision": "bf16", "seed": 0})
    'precision: fp32 -> bf16'
    """
    changes = [
        f"{key}: {change(stored.get(key, 'none'), value)}"
        for key, value in parse_signature(expected).items()
        if stored.get(key) != value
    ]
    return ", ".join(changes) or None


def change(old: object, new: object) -> str:
    """How an entry changed, in words; of a list, the added and the dropped items.

    >>> change(["center", "p1"], ["center", "box"])
    'box added, p1 dropped'
    >>> change("0" * 64, "1" * 64)
    '000000000000 -> 111111111111'
    """
    if isinstance(old, list) and isinstance(new, list) and set(old) != set(new):
        changes = [f"{_text(item)} added" for item in new if item not in old]
        changes += [f"{_text(item)} dropped" for item in old if item not in new]
        return ", ".join(changes)
    return f"{_text(old)} -> {_text(new)}"


def _text(value: object) -> str:
    """A value without quotes, a digest by its first digits."""
    is_digest = SHA256.fullmatch(str(value))
    return str(value)[:N_HEX] if is_digest else shown(value).strip("'")


def digest(signature: Mapping[str, object]) -> str:
    """Short digest of a signature, in hex."""
    text = json.dumps(parse_signature(signature), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions as signature entries, ``numpy_version`` and so on.

    Versions are read from package metadata: importing the libraries takes seconds.
    """
    return {f"{name.replace('-', '_')}_version": version(name) for name in distributions}
