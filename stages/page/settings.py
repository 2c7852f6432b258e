"""Settings as the page shows them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from stages.tables.rows import Results

DIGEST: Final = re.compile(r"[0-9a-f]{16,}")

N_DIGEST_DIGITS: Final = 12
"""As many digits as of the commit."""

LONG_FRACTION: Final = re.compile(r"-?\d+\.\d{5,}(e-?\d+)?")
"""A fraction too long for a person to have typed."""


@dataclass(frozen=True)
class Settings:
    """Settings of several things: those they share, and those of each one alone."""

    shared: Mapping[str, Any]
    own: pd.DataFrame
    """A row per thing, its name first."""


def settings(things: Mapping[str, Mapping[str, Any]], what: str) -> Settings:
    """Separate what several things share from what is each one's own."""
    first = next(iter(things.values()), {})
    shared = {
        key: value
        for key, value in first.items()
        if all(key in thing and thing[key] == value for thing in things.values())
    }
    own = pd.DataFrame(
        [
            {what: name} | {k: v for k, v in thing.items() if k not in shared}
            for name, thing in things.items()
        ],
        dtype=object,
    )
    return Settings(shared, own)


def head_settings(results: Results) -> dict[str, Settings]:
    """What the heads of each train split were trained on; all eval splits use the same heads."""
    first = next(iter(results.values()))
    return {name: settings(heads, "head") for name, heads in first.run["heads"].items()}


def setting(value: object) -> str:
    """Write a setting: lists and mappings in a row, digests cut, fractions rounded."""
    if isinstance(value, str) and value.startswith("{"):
        return ", ".join(f"{key} {setting(part)}" for key, part in json.loads(value).items())
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value))
    text = str(value)
    if DIGEST.fullmatch(text):
        return text[:N_DIGEST_DIGITS] + "…"
    return f"{float(text):.4g}" if LONG_FRACTION.fullmatch(text) else text
