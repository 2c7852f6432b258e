"""Reads and writes evidence in a card of heads: guarantees, and gains of the choice of masks.

Guarantees, which ``usam gate`` calibrates, are also in records. Functions that read raise a
``DataError`` if an entry is not JSON, lacks a field, or has one of another type.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from pipeline.heads.scope import CalibratedGuarantee, ChoiceGain, Scope
from storage.errors import DataError, shown
from storage.outputs.records import read_record, write_record

GATES: Final = "gates"
"""Key of the guarantees in a card of heads (as JSON text) and in a record of ``usam gate``."""


CHOICES: Final = "choices"
"""Key of the gains of the choice of masks in a card of heads, as JSON text."""

_REMEDIES: Final = {GATES: "calibrate it again by `usam gate`", CHOICES: "train its heads again"}


def write_guarantees(path: Path, guarantees: Sequence[CalibratedGuarantee]) -> None:
    """Write the guarantees of a calibration as a JSON file with its own sha256."""
    write_record(path, {GATES: [asdict(guarantee) for guarantee in guarantees]}, [])


def read_guarantees(path: Path) -> tuple[CalibratedGuarantee, ...]:
    """Read guarantees that ``write_guarantees`` wrote; an edited file raises a DataError."""
    record = read_record(path, "usam gate", [GATES])
    return _parsed(record[GATES], str(path))


def guarantees_entry(guarantees: Sequence[CalibratedGuarantee]) -> dict[str, str]:
    """Guarantees as an entry of a card of heads, by key; empty if there are no guarantees."""
    if not guarantees:
        return {}
    return {GATES: json.dumps([asdict(guarantee) for guarantee in guarantees])}


def guarantees_of(card: Mapping[str, str]) -> tuple[CalibratedGuarantee, ...]:
    """Parse the guarantees in a card of heads; an empty tuple if the card has none."""
    return _parsed(_from_json(card, GATES), "a card")


def choices_entry(gains: Sequence[ChoiceGain]) -> dict[str, str]:
    """Gains of the choice of masks as an entry of a card of heads, by key."""
    return {CHOICES: json.dumps([asdict(gain) for gain in gains])}


def choices_of(card: Mapping[str, str]) -> tuple[ChoiceGain, ...]:
    """Parse the gains of the choice of masks in a card of heads; empty if the card has none."""
    values = _listed(_from_json(card, CHOICES), CHOICES, "a card")
    return tuple(
        ChoiceGain(**_checked(ChoiceGain, entries, "a card", CHOICES)) for entries in values
    )


def _from_json(card: Mapping[str, str], key: str) -> object:
    try:
        return json.loads(card.get(key, "[]"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{key} in a card must be JSON, got {error}") from error


def _listed(values: object, key: str, source: str) -> list[object]:
    if not isinstance(values, list):
        raise DataError(f"{key} in {source} must be a list, got {shown(values)}")
    return values


def _parsed(values: object, source: str) -> tuple[CalibratedGuarantee, ...]:
    guarantees = []
    for entries in _listed(values, GATES, source):
        scope = _checked(Scope, entries.get("scope") if isinstance(entries, dict) else None, source)
        assert isinstance(entries, dict)
        guarantee = _checked(CalibratedGuarantee, {**entries, "scope": Scope(**scope)}, source)
        guarantees.append(CalibratedGuarantee(**guarantee))
    return tuple(guarantees)


def _checked(
    form: type[Scope | CalibratedGuarantee | ChoiceGain],
    entries: object,
    source: str,
    key: str = GATES,
) -> dict[str, Any]:
    """Return ``entries`` if they are the fields of the class ``form``, each of the field's type.

    A list of prompt sets becomes a tuple. Raises a DataError, which names ``source`` and ``key``,
    for other entries.
    """
    types = {field.name: field.type for field in fields(form)}
    if not isinstance(entries, dict) or set(entries) != set(types):
        raise DataError(
            f"each of the {key} in {source} must have {', '.join(types)}, got {shown(entries)}: "
            f"{_REMEDIES[key]}"
        )
    checked = {}
    for name, value in entries.items():
        if name == "prompts":
            is_valid = isinstance(value, list) and all(isinstance(word, str) for word in value)
            value = tuple(value) if is_valid else value  # noqa: PLW2901 - parsed
        elif isinstance(value, int | float) and not isinstance(value, bool):
            is_valid = math.isfinite(value) and types[name] not in {str, Scope}
        else:
            is_valid = isinstance(value, types[name])  # type: ignore[arg-type]
        if not is_valid:
            rule = {"prompts": "a list of names", "scope": "a scope"}.get(
                name, "text" if types[name] is str else "a finite number"
            )
            raise DataError(f"{name} of {key} in {source} must be {rule}, got {shown(value)}")
        checked[name] = value
    return checked
