"""Reads and writes evidence in a card of heads: guarantees, gains of the choice of masks, errors.

Guarantees, which ``usam gate`` calibrates, are also in records. Functions that read raise a
``DataError`` if an entry is not JSON, lacks a field, or has one of another type.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from pipeline.heads.scope import CalibratedGuarantee, ChoiceGain, Scope
from pipeline.iou_errors import IouErrors
from storage.errors import DataError, shown
from storage.outputs.records import read_record, write_record

T = TypeVar("T")

GATES: Final = "gates"
"""Key of the guarantees in a card of heads (as JSON text) and in a record of ``usam gate``."""

CHOICES: Final = "choices"
"""Key of the gains of the choice of masks in a card of heads, as JSON text."""

ERRORS: Final = "iou_errors"
"""Key of the errors of expected IoUs on held-out images in a card of heads, as JSON text."""

for form in (Scope, CalibratedGuarantee, ChoiceGain, IouErrors):
    with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))(form)

_GUARANTEES: Final = TypeAdapter(tuple[CalibratedGuarantee, ...])
_GAINS: Final = TypeAdapter(tuple[ChoiceGain, ...])
_ERRORS: Final = TypeAdapter(tuple[IouErrors, ...])


def write_guarantees(path: Path, guarantees: Sequence[CalibratedGuarantee]) -> None:
    """Write the guarantees of a calibration as a JSON file with its own sha256."""
    write_record(path, {GATES: [asdict(guarantee) for guarantee in guarantees]}, [])


def read_guarantees(path: Path) -> tuple[CalibratedGuarantee, ...]:
    """Read guarantees that ``write_guarantees`` wrote; an edited file raises a DataError."""
    record = read_record(path, "usam gate", [GATES])
    return _parsed(
        _GUARANTEES.validate_json, json.dumps(record[GATES]), f"{GATES} in {path}", _CALIBRATE
    )


def guarantees_entry(guarantees: Sequence[CalibratedGuarantee]) -> dict[str, str]:
    """Guarantees as an entry of a card of heads, by key; empty if there are no guarantees."""
    if not guarantees:
        return {}
    return {GATES: json.dumps([asdict(guarantee) for guarantee in guarantees])}


def guarantees_of(card: Mapping[str, str]) -> tuple[CalibratedGuarantee, ...]:
    """Parse the guarantees in a card of heads; an empty tuple if the card has none."""
    return _parsed(
        _GUARANTEES.validate_json, card.get(GATES, "[]"), f"{GATES} in a card", _CALIBRATE
    )


def choices_entry(gains: Sequence[ChoiceGain]) -> dict[str, str]:
    """Gains of the choice of masks as an entry of a card of heads, by key."""
    return {CHOICES: json.dumps([asdict(gain) for gain in gains])}


def choices_of(card: Mapping[str, str]) -> tuple[ChoiceGain, ...]:
    """Parse the gains of the choice of masks in a card of heads; empty if the card has none."""
    gains = card.get(CHOICES, "[]")
    return _parsed(_GAINS.validate_json, gains, f"{CHOICES} in a card", _TRAIN)


def offered_choice(card: Mapping[str, str], prompt: str, model: str) -> ChoiceGain | None:
    """Gain of the choice from a prompt set of a model; None if the choice is not offered."""
    for choice in choices_of(card):
        if (choice.prompt, choice.model) == (prompt, model) and choice.is_sure:
            return choice
    return None


def errors_entry(errors: Sequence[IouErrors]) -> dict[str, str]:
    """Errors of expected IoUs as an entry of a card of heads, by key."""
    return {ERRORS: json.dumps([asdict(of_prompt) for of_prompt in errors])}


def errors_of(card: Mapping[str, str]) -> tuple[IouErrors, ...]:
    """Parse the errors of expected IoUs in a card of heads; empty if the card has none."""
    errors = card.get(ERRORS, "[]")
    return _parsed(_ERRORS.validate_json, errors, f"{ERRORS} in a card", _TRAIN)


_TRAIN: Final = "train its heads again"

_CALIBRATE: Final = "calibrate it again by `usam gate`"


def _parsed(parse: Callable[[str], T], text: str, name: str, remedy: str) -> T:
    try:
        return parse(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise DataError(
            f"{name} must be as this version writes them, got {shown(fault['input'])} at "
            f"{place or 'the top'} ({fault['msg']}): {remedy}"
        ) from error
