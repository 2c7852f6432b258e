"""Compares and digests signatures, mappings of all that the rows of a store depend on."""

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final, cast

from storage.errors import N_HEX, shown
from storage.store.schema import SAME_TOKENS, Value

DIGEST_CHARS: Final = 16
"""Number of hex digits of a sha256 in a file name: 64 bits distinguish all signatures of a cell."""

SHA256: Final = re.compile(r"[0-9a-f]{64}")


def parse_signature(data: Mapping[str, object]) -> dict[str, Value]:
    """Convert a signature to the form in which a store returns it: keys sorted, tuples as lists.

    Raises a ValueError if a value is not a str, a number, or a list or tuple of these.
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
    """Describe how a signature differs from expected entries; None if it has them all.

    Entries of ``stored`` whose keys ``expected`` lacks are ignored.

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
    """Describe the change of a signature entry; for lists of other items, the items' change.

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
    """A value for messages: without quotes, and a sha256 by its first digits."""
    is_digest = SHA256.fullmatch(str(value))
    return str(value)[:N_HEX] if is_digest else shown(value).strip("'")


def digest(signature: Mapping[str, object]) -> str:
    """Digest of a signature: the first 16 hex digits of a sha256; the order of keys is ignored."""
    text = json.dumps(parse_signature(signature), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def head_version(extract_version: object) -> str:
    """Version of ``extract`` in the card of heads that learn from features of ``extract_version``.

    It is the oldest version with the same tokens, see ``SAME_TOKENS``.

    >>> head_version(9), head_version(7)
    ('8', '7')
    """
    return str(SAME_TOKENS.get(extract_version, extract_version))


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions of packages as signature entries, such as ``numpy_version``.

    They are read from package metadata: importing the libraries takes seconds.
    """
    return {f"{name.replace('-', '_')}_version": version(name) for name in distributions}
