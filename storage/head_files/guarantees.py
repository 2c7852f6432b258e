"""Reads and writes guarantees that ``usam gate`` calibrates: in a record or a card of heads."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from pipeline.heads.scope import CalibratedGuarantee, Scope
from storage.errors import DataError, shown
from storage.outputs.records import read_record, write_record

GATES: Final = "gates"
"""Key of the guarantees in a card of heads (as JSON text) and in a record of ``usam gate``."""


def write_guarantees(path: Path, guarantees: Sequence[CalibratedGuarantee]) -> None:
    """Write the guarantees of a calibration as a record with its own sha256."""
    write_record(path, {GATES: [asdict(guarantee) for guarantee in guarantees]}, [])


def read_guarantees(path: Path) -> tuple[CalibratedGuarantee, ...]:
    """Read guarantees that ``write_guarantees`` wrote.

    Raises
    ------
    DataError
        If the file is missing, was edited, or has another form.
    """
    record = read_record(path, "usam gate", [GATES])
    return _parsed(record[GATES], str(path))


def guarantees_entry(guarantees: Sequence[CalibratedGuarantee]) -> dict[str, str]:
    """Guarantees as an entry of a card of heads; an empty mapping if there are no guarantees."""
    if not guarantees:
        return {}
    return {GATES: json.dumps([asdict(guarantee) for guarantee in guarantees])}


def guarantees_of(card: Mapping[str, str]) -> tuple[CalibratedGuarantee, ...]:
    """Parse the guarantees in a card of heads; an empty tuple if the card has none.

    Raises
    ------
    DataError
        If the entry is not JSON or lacks a field of a guarantee.
    """
    try:
        values = json.loads(card.get(GATES, "[]"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"gates in a card must be JSON, got {error}") from error
    return _parsed(values, "a card")


def _parsed(values: object, source: str) -> tuple[CalibratedGuarantee, ...]:
    if not isinstance(values, list):
        raise DataError(f"gates in {source} must be a list, got {shown(values)}")
    guarantees = []
    for entries in values:
        scope = _checked(Scope, entries.get("scope") if isinstance(entries, dict) else None, source)
        guarantee = _checked(CalibratedGuarantee, {**entries, "scope": Scope(**scope)}, source)
        guarantees.append(CalibratedGuarantee(**guarantee))
    return tuple(guarantees)


def _checked(
    form: type[Scope | CalibratedGuarantee], entries: object, source: str
) -> dict[str, Any]:
    """Check that ``entries`` are the fields of the class ``form``, each of the field's type.

    A list of prompt sets becomes a tuple.
    """
    types = {field.name: field.type for field in fields(form)}
    if not isinstance(entries, dict) or set(entries) != set(types):
        raise DataError(
            f"a gate in {source} must have {', '.join(types)}, got {shown(entries)}: "
            "calibrate it again by `usam gate`"
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
            raise DataError(f"{name} of a gate in {source} must be {rule}, got {shown(value)}")
        checked[name] = value
    return checked
