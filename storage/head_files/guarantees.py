"""Reads and writes evidence in a card of heads: guarantees, gains of the choice of masks, errors.

Guarantees, which ``usam gate`` calibrates, are also in records. Functions that read raise a
``DataError`` if an entry is not JSON, lacks a field, or has one of another type.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from pipeline.heads.scope import CalibratedGuarantee, ChoiceGain, Scope
from pipeline.iou_errors import IouErrors
from storage.errors import DataError, shown
from storage.outputs.records import read_record, write_record

Evidence = CalibratedGuarantee | ChoiceGain | IouErrors
"""A record of evidence about heads."""

GATES: Final = "gates"
"""Key of the guarantees in a card of heads (as JSON text) and in a record of ``usam gate``."""

CHOICES: Final = "choices"
"""Key of the gains of the choice of masks in a card of heads, as JSON text."""

ERRORS: Final = "iou_errors"
"""Key of the errors of expected IoUs on held-out images in a card of heads, as JSON text."""

for form in (Scope, CalibratedGuarantee, ChoiceGain, IouErrors):
    with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))(form)

_FORMS: Final[Mapping[str, tuple[TypeAdapter[Any], str]]] = {
    GATES: (TypeAdapter(tuple[CalibratedGuarantee, ...]), "calibrate it again by `usam gate`"),
    CHOICES: (TypeAdapter(tuple[ChoiceGain, ...]), "train its heads again"),
    ERRORS: (TypeAdapter(tuple[IouErrors, ...]), "train its heads again"),
}
"""Form of the evidence under each key, and the remedy for evidence of another form."""


def write_guarantees(path: Path, guarantees: Sequence[CalibratedGuarantee]) -> None:
    """Write the guarantees of a calibration as a JSON file with its own sha256."""
    write_record(path, {GATES: [asdict(guarantee) for guarantee in guarantees]}, [])


def read_guarantees(path: Path) -> tuple[CalibratedGuarantee, ...]:
    """Read guarantees that ``write_guarantees`` wrote; an edited file raises a DataError."""
    record = read_record(path, "usam gate", [GATES])
    return _parsed(GATES, json.dumps(record[GATES]), str(path))


def evidence_entry(key: str, evidence: Sequence[Evidence]) -> dict[str, str]:
    """Evidence as an entry of a card of heads, by its key."""
    return {key: json.dumps([asdict(record) for record in evidence])}


def evidence_of(card: Mapping[str, str], key: str) -> tuple[Any, ...]:
    """Parse the evidence under a key in a card of heads; an empty tuple if the card has none."""
    return _parsed(key, card.get(key, "[]"), "a card")


def offered_choice(card: Mapping[str, str], prompt: str, model: str) -> ChoiceGain | None:
    """Gain of the choice from a prompt set of a model; None if the choice is not offered."""
    choices: tuple[ChoiceGain, ...] = evidence_of(card, CHOICES)
    offered = (c for c in choices if (c.prompt, c.model) == (prompt, model) and c.is_sure)
    return next(offered, None)


def _parsed(key: str, text: str, place: str) -> tuple[Any, ...]:
    form, remedy = _FORMS[key]
    try:
        parsed: tuple[Any, ...] = form.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join(map(str, fault["loc"]))
        raise DataError(
            f"{key} in {place} must be as this version writes them, got {shown(fault['input'])} at "
            f"{field or 'the top'} ({fault['msg']}): {remedy}"
        ) from error
    return parsed
