"""A head set in one safetensors file, its card in the metadata; calibrated SamScores beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.heads.kinds import HeadSet
from pipeline.heads.predict import check_head
from pipeline.sam.families import models_of, reads_of
from pipeline.scoring.calibration import Isotonic
from storage.errors import DataError, WeightsError
from storage.head_files.published_heads import published_file
from storage.head_files.tensors import read_tensors, write_tensors
from storage.outputs.records import read_record, write_record
from storage.paths import isotonic_path, protocol_dir

OBJECTIVES: Final = "objectives"
"""Entry of a card with what differs between its heads, as JSON."""

PROMPTS: Final = "prompts"
"""Entry of a card with the prompt sets that its heads learned from; without it, one click alone."""

_OWN: Final = ("objective", "sha256")
"""Entries of a single head's metadata that its name and the file's own digest replace."""


SHIPPED_FAMILY: Final = "mini"
"""The family whose heads come with the package."""

SHIPPED: Final = Path(__file__).parent
"""Where they are."""


@dataclass(frozen=True)
class HeadFile:
    """Heads of one set, and where they come from."""

    weights: Mapping[str, Mapping[str, np.ndarray]]
    """Tensors by objective, in single precision."""
    card: Mapping[str, str]
    """Entries that all heads share, by name; ``objectives`` has the rest."""

    @property
    def models(self) -> tuple[str, ...]:
        """Models that they know, from small to large.

        Raises
        ------
        DataError
            If their card names no family that there is.
        """
        try:
            every = models_of(self.card["family"])
        except (KeyError, ValueError) as error:
            raise DataError(f"heads must name a family that there is: {error}") from error
        return tuple(model for model in every if f"weights_{model}" in self.card)

    @property
    def readers(self) -> tuple[str, ...]:
        """Those whose tokens they read: of a ladder, the models of one family."""
        reads, _, _ = self.card.get("tokens", "").rpartition("/")
        return tuple(one for one in self.models if reads_of(self.card["family"], one) == reads)

    @property
    def by_objective(self) -> dict[str, dict[str, str]]:
        """Entries that differ between the heads."""
        own: dict[str, dict[str, str]] = json.loads(self.card[OBJECTIVES])
        return own

    def metadata(self, objective: str) -> dict[str, str]:
        """Metadata of a head: what it shares with the others, and its own."""
        shared = {key: value for key, value in self.card.items() if key != OBJECTIVES}
        whole = shared | self.by_objective[objective] | {"objective": objective}
        return dict(sorted(whole.items()))


def head_set_path(split: str, head_set: HeadSet) -> Path:
    """File of a head set that was trained on a split."""
    folder = protocol_dir(split, head_set.protocol) / head_set.kind
    return folder / f"{head_set.tokens_read}.safetensors"


def shipped_heads() -> Path:
    """File of the heads that come with the package."""
    return SHIPPED / f"{SHIPPED_FAMILY}.safetensors"


def family_heads(family: str) -> Path:
    """File of a family's heads that ship or, for the others, that `usam heads fetch` writes."""
    return shipped_heads() if family == SHIPPED_FAMILY else published_file(family)


def pack_heads(
    weights: Mapping[str, Mapping[str, np.ndarray]],
    metadata: Mapping[str, Mapping[str, str]],
    **about: str,
) -> HeadFile:
    """Put single heads together.

    Parameters
    ----------
    metadata
        Metadata of each head, by objective; what all share becomes an entry of the card.
    about
        Further entries of the card.
    """
    by_head = {
        name: {k: v for k, v in own.items() if k not in _OWN} for name, own in metadata.items()
    }
    first = next(iter(by_head.values()))
    shared = {k: v for k, v in first.items() if all(own.get(k) == v for own in by_head.values())}
    rest = {
        name: {k: v for k, v in own.items() if k not in shared}
        for name, own in sorted(by_head.items())
    }
    return HeadFile(weights, {**shared, **about, OBJECTIVES: json.dumps(rest)})


def write_head_file(path: Path, heads: HeadFile, *, half: bool = False) -> None:
    """Write the heads, their matrices in half precision if asked for, which takes half the bytes.

    The same heads give the same bytes.

    Raises
    ------
    WeightsError
        If a number is too large for half precision.
    """
    tensors = {
        f"{objective}.{name}": _halved(objective, name, tensor)
        # Means that inputs are standardised by are too large for half precision to say finely.
        if half and tensor.ndim > 1
        else tensor.astype(np.float32)
        for objective, own in heads.weights.items()
        for name, tensor in own.items()
    }
    write_tensors(path, tensors, heads.card)


def _halved(objective: str, name: str, tensor: np.ndarray) -> np.ndarray:
    largest = float(np.abs(tensor).max(initial=0))
    if largest > float(np.finfo(np.float16).max):
        raise WeightsError(
            f"{name} of head {objective} must be within 65504 for half precision, got {largest:g}"
        )
    return tensor.astype(np.float16)


def read_head_file(path: Path) -> HeadFile:
    """Read a file that ``write_head_file`` has written.

    Raises
    ------
    WeightsError
        If it is missing or damaged, no such file, such as one of a single head, or one of another
        version.
    """
    tensors, card = read_tensors(path)
    if OBJECTIVES not in card:
        raise WeightsError(
            f"{path} must be of the stage train or `usam heads export`, got no card of theirs"
        )
    weights: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        objective, _, own = name.partition(".")
        weights.setdefault(objective, {})[own] = tensor.astype(np.float32)
    for objective, head in weights.items():
        try:
            check_head(objective, head)
        except ValueError as error:
            raise WeightsError(f"{path}: {error}; train its heads again") from error
    return HeadFile(weights, dict(sorted(card.items())))


def check_card(
    path: Path, card: Mapping[str, Any], expected: Mapping[str, str], remedy: str = ""
) -> None:
    """Refuse heads that learned from other inputs.

    Raises
    ------
    DataError
        If an entry differs (the message names the file and every such entry).
    """
    found = [
        f"{key} ({card.get(key, 'none')} -> {value})"
        for key, value in expected.items()
        if card.get(key, "none") != value
    ]
    if found:
        raise DataError(
            f"heads in {path} must have learned from the same features: {', '.join(found)}{remedy}"
        )


def read_heads(train_split: str, origin: Mapping[str, str], head_set: HeadSet) -> HeadFile:
    """Read every head of a head set of a train split.

    Parameters
    ----------
    origin
        What they must have learned from: heads understand only tokens like those that they were
        trained on.

    Raises
    ------
    WeightsError
        If a head is missing or damaged.
    DataError
        If a head lies in the place of another, or was trained on other features.
    """
    found = read_head_set(train_split, head_set)
    check_card(head_set_path(train_split, head_set), found.card, origin, "; train them again")
    return found


def read_head_set(train_split: str, head_set: HeadSet) -> HeadFile:
    """Read the file of a head set of a train split.

    Raises
    ------
    WeightsError
        If it is missing or damaged.
    DataError
        If it lies in the place of another, or lacks a head.
    """
    path = head_set_path(train_split, head_set)
    found = read_head_file(path)
    for key, value in {"split": train_split, **head_set.card}.items():
        if (own := found.card.get(key, "none")) != value:
            raise DataError(f"{path}: {key} must be {value}, got {own}")
    for objective in head_set.objectives(found.models):
        if objective not in found.weights:
            raise DataError(f"{path} must have the head {objective}, got none; train it again")
    return found


Calibration = Mapping[str, Mapping[str, Isotonic]]
"""By model, then by judged proposal."""

_FITTED: Final = "fitted"


def write_isotonic(split: str, calibration: Calibration, origin: Mapping[str, str]) -> None:
    """Write what was fitted on a split.

    Parameters
    ----------
    origin
        Which features it was fitted on, as the card of the heads says it.
    """
    fitted = {
        model: {
            judged: {name: values.tolist() for name, values in vars(one).items()}
            for judged, one in by_judged.items()
        }
        for model, by_judged in calibration.items()
    }
    write_record(isotonic_path(split), {"split": split, **origin, _FITTED: fitted}, [])


def read_isotonic(split: str, origin: Mapping[str, str]) -> Calibration:
    """Read what was fitted on a split.

    Raises
    ------
    DataError
        If it is missing, not as it was written, or was fitted on other features than ``origin``
        says.
    """
    path = isotonic_path(split)
    found = read_record(path, "train", ["split", _FITTED])
    check_card(path, found, {"split": split, **origin}, "; train them again")
    return {
        model: {
            judged: Isotonic(**{name: np.array(values) for name, values in one.items()})
            for judged, one in by_judged.items()
        }
        for model, by_judged in found[_FITTED].items()
    }
