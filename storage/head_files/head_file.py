"""Reads and writes head files: the heads of one set as safetensors, with a card in the metadata.

Functions raise a ``WeightsError`` for a file that is missing, damaged or of another form, and a
``DataError`` for a card that contradicts what is asked for.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.heads.kinds import HeadSet
from pipeline.heads.predict import OUTPUT_LAYER, HeadWeights, check_head
from pipeline.heads.scope import CalibratedGuarantee, ChoiceGain
from pipeline.heads.training_images import TrainingImages, from_tensors
from pipeline.iou_errors import IouErrors
from pipeline.prompt_kinds import PROMPT_KINDS
from pipeline.sam.families import DRAWN, EMBEDDED, FAMILIES, models_of
from pipeline.vocabulary import PROTOCOLS, TOKEN_SETS
from storage.errors import DataError, WeightsError, shown
from storage.head_files.guarantees import CHOICES, ERRORS, GATES, evidence_of
from storage.head_files.published_heads import published_file
from storage.head_files.tensors import read_tensors, write_tensors
from storage.paths import heads_dir, remedy

OBJECTIVES: Final = "objectives"
"""Key of a card: facts that differ between the heads of the file, as JSON by objective."""

PROMPTS: Final = "prompts"
"""Key of a card: prompt sets that the heads learned from; ``center`` alone if it is absent."""

IMAGES: Final = "images"
"""Key of a card: description of the images that the heads learned from, see ``Scope.images``."""

UNTESTED: Final = "untested"
"""Key of a card: caution about heads whose images were too few to measure how wrong they are."""

TRAINING_IMAGES: Final = "training_images"
"""Prefix of the names of tensors that describe the images from which the heads learned."""

SHARED: Final = "shared"
"""Prefix of the names of tensors that all heads of a file share."""

BEGINS: Final = re.compile(rb'.{8}\{"__metadata__":\{.*"%s":' % OBJECTIVES.encode(), re.DOTALL)
"""First bytes of a head file: the size of its header, then its card."""

_NOT_IN_CARD: Final = ("objective", "sha256")
"""Entries of a single head's metadata that a card leaves out: the names of tensors contain the
objective, and the head file has its own digest."""


@dataclass(frozen=True)
class HeadFile:
    """The heads of one head set, and the card that says how they were made."""

    weights: Mapping[str, Mapping[str, np.ndarray]]
    """Tensors of each head in single precision, by objective, then by name."""
    card: Mapping[str, str]
    """Entries of the card by key. All heads share them; ``objectives`` has their differences."""
    training_images: TrainingImages | None = None
    """Encoder statistics of the training images; None in a file of the stage ``train``."""

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the models whose tokens the heads learned from, from small to large.

        Raises a DataError if the card names no known family.
        """
        try:
            models = models_of(self.card["family"])
        except (KeyError, ValueError) as error:
            raise DataError(f"heads must name a family that there is: {error}") from error
        return tuple(model for model in models if f"weights_{model}" in self.card)

    @cached_property
    def guarantees(self) -> tuple[CalibratedGuarantee, ...]:
        """Guarantees about masks that the heads judge; a DataError if they are malformed."""
        return evidence_of(self.card, GATES)

    @cached_property
    def choices(self) -> tuple[ChoiceGain, ...]:
        """Gains of the heads' choice of masks; a DataError if they are malformed."""
        return evidence_of(self.card, CHOICES)

    @cached_property
    def errors(self) -> tuple[IouErrors, ...]:
        """Errors of expected IoUs on held-out images; a DataError if they are malformed."""
        return evidence_of(self.card, ERRORS)

    @property
    def by_objective(self) -> dict[str, dict[str, str]]:
        """Entries of the card that differ between the file's heads, by objective, then by key."""
        facts: dict[str, dict[str, str]] = json.loads(self.card[OBJECTIVES])
        return facts

    def metadata(self, objective: str) -> dict[str, str]:
        """Metadata of the head of one objective, in the form that ``pack_heads`` takes.

        Raises a KeyError if the file has no head of this objective.
        """
        shared = {key: value for key, value in self.card.items() if key != OBJECTIVES}
        metadata = shared | self.by_objective[objective] | {"objective": objective}
        return dict(sorted(metadata.items()))


def head_set_path(split: str, head_set: HeadSet) -> Path:
    """Path of the head file of a head set that was trained on a split."""
    return heads_dir(split) / f"{head_set}.safetensors"


NO_HEADS: Final = HeadFile({}, {})
"""Stands for a file where there are no heads: it has neither heads nor evidence."""


def shipped_heads(family: str = DRAWN) -> Path:
    """Path of the head file of an embedded family, which comes with the package."""
    return Path(__file__).parent / f"{family}.safetensors"


def family_heads(family: str) -> Path:
    """Path of a family's default head file, which need not exist.

    The package holds the files of embedded families; ``usam heads fetch`` writes the others.
    """
    return shipped_heads(family) if family in EMBEDDED else published_file(family)


def pack_heads(
    weights: Mapping[str, Mapping[str, np.ndarray]],
    metadata: Mapping[str, Mapping[str, str]],
    **about: str,
) -> HeadFile:
    """Join the single heads of one head set in a ``HeadFile``.

    Parameters
    ----------
    weights
        Tensors of each head, by objective, then by name.
    metadata
        Metadata of each head, by objective, then by key. Entries that all heads share become
        entries of the card; ``objective`` and ``sha256`` are left out.
    about
        More entries of the card.
    """
    facts = {
        name: {key: value for key, value in entries.items() if key not in _NOT_IN_CARD}
        for name, entries in metadata.items()
    }
    first = next(iter(facts.values()))
    shared = {
        key: value
        for key, value in first.items()
        if all(entries.get(key) == value for entries in facts.values())
    }
    differences = {
        name: {key: value for key, value in entries.items() if key not in shared}
        for name, entries in sorted(facts.items())
    }
    return HeadFile(weights, {**shared, **about, OBJECTIVES: json.dumps(differences)})


def write_head_file(path: Path, heads: HeadFile, *, half: bool = False) -> None:
    """Write a head file; the same heads give the same bytes.

    ``half`` writes matrices in half precision, which halves the file. Raises a WeightsError if a
    number is too large for that.
    """
    by_owner = _by_owner(heads.weights)
    if heads.training_images is not None:
        by_owner[TRAINING_IMAGES] = vars(heads.training_images)
    tensors = {
        f"{owner}.{name}": _halved(owner, name, tensor)
        # Vectors stay in single precision: half is too coarse for means that standardise inputs.
        if half and tensor.ndim > 1
        else tensor.astype(np.float32)
        for owner, arrays in by_owner.items()
        for name, tensor in arrays.items()
    }
    write_tensors(path, tensors, heads.card)


def _by_owner(weights: Mapping[str, HeadWeights]) -> dict[str, HeadWeights]:
    """Tensors by the head that has them, or by ``SHARED`` if all heads share them.

    Heads share a tensor if they hold the same array object; equal copies are not shared. A single
    head shares nothing, and the output layer is never shared.
    """
    first, *others = weights.values()
    shared = {
        name: tensor
        for name, tensor in first.items()
        if others and name not in OUTPUT_LAYER and all(head.get(name) is tensor for head in others)
    }
    by_owner = {
        objective: {name: tensor for name, tensor in head.items() if name not in shared}
        for objective, head in weights.items()
    }
    return {**by_owner, SHARED: shared}


def _halved(owner: str, name: str, tensor: np.ndarray) -> np.ndarray:
    largest = float(np.abs(tensor).max(initial=0))
    if largest > float(np.finfo(np.float16).max):
        raise WeightsError(
            f"{name} of {owner} must be within 65504 for half precision, got {largest:g}"
        )
    return tensor.astype(np.float16)


def read_head_file(path: Path) -> HeadFile:
    """Read a head file that ``write_head_file`` has written.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or no head file, its heads are of an earlier version, or a
        number is NaN or infinite.
    DataError
        If the guarantees or the gains of the choice of masks in its card are malformed.
    """
    tensors, card = read_tensors(path)
    if OBJECTIVES not in card:
        raise WeightsError(
            f"{path} must be of the stage train or `usam heads export`, got no card of theirs"
        )
    weights: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{name} in {path} must hold finite numbers, got NaN or infinity")
        objective, _, tensor_name = name.partition(".")
        weights.setdefault(objective, {})[tensor_name] = tensor.astype(np.float32)
    images = weights.pop(TRAINING_IMAGES, None)
    shared = weights.pop(SHARED, {})
    weights = {objective: {**shared, **head} for objective, head in weights.items()}
    _check_form(path, card, set(weights))
    try:
        for objective, head in weights.items():
            check_head(objective, head)
        training_images = None if images is None else from_tensors(images)
    except ValueError as error:
        advice = remedy(path) or "; train its heads again"
        raise WeightsError(f"{path}: {error}{advice}") from error
    file = HeadFile(weights, dict(sorted(card.items())), training_images)
    if not file.models:
        raise WeightsError(
            f"the card of {path} must name the weights of a model of its family, got none"
        )
    _ = file.guarantees, file.choices, file.errors  # a fault in these shows here
    return file


def _check_form(path: Path, card: Mapping[str, str], objectives: Collection[str]) -> None:
    """Raise a WeightsError for a card that lacks a required entry, or has one that breaks its rule.

    Required are ``_REQUIRED``; ``_FORMS`` has the rules; ``OBJECTIVES`` must be of ``objectives``.
    """
    for key, (rule, pattern) in _FORMS.items():
        if key in card or key in _REQUIRED:
            entry = card.get(key, "none")
            if not re.fullmatch(pattern, entry):
                raise WeightsError(
                    f"{key} in the card of {path} must be {rule}, got {shown(entry)}"
                )
    try:
        is_valid = {*_FACTS.validate_json(card[OBJECTIVES])} == {*objectives}
    except ValidationError:
        is_valid = False
    if not is_valid:
        raise WeightsError(
            f"{OBJECTIVES} in the card of {path} must be facts about "
            f"{', '.join(sorted(objectives))}, got {shown(card[OBJECTIVES])}"
        )


_FACTS: Final = TypeAdapter(dict[str, dict[str, str]], config=ConfigDict(strict=True))
"""Form of the entry ``OBJECTIVES``: facts by objective, then by key."""

_REQUIRED: Final = ("family", "precision", "protocol", "tokens", "kind", "n_channels")

_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "family": ("a family", "|".join(map(re.escape, FAMILIES))),
    "precision": ("fp32 or bf16", "fp32|bf16"),
    "protocol": (" or ".join(PROTOCOLS), "|".join(PROTOCOLS)),
    "tokens": ("a token set", "|".join(TOKEN_SETS)),
    "kind": ("a name", r"(?s)(?!none\Z).+"),
    "n_channels": ("a whole number", "[0-9]{1,9}"),
    "first_mask_token": ("a whole number", "[0-9]{1,9}"),
    PROMPTS: ("prompt sets", rf"\s*(({'|'.join(kind.name for kind in PROMPT_KINDS)})(\s+|\Z))*"),
}
"""Entries of a card that a predictor reads: by key, the rule for messages, and its pattern."""


def check_card(
    path: Path, card: Mapping[str, Any], expected: Mapping[str, str], remedy: str = ""
) -> None:
    """Raise a DataError if a card lacks or contradicts one of the ``expected`` entries.

    The message names the heads' file ``path`` and all entries that differ, and ends with
    ``remedy``.
    """
    differences = [
        f"{key} ({card.get(key, 'none')} -> {value})"
        for key, value in expected.items()
        if card.get(key, "none") != value
    ]
    if differences:
        raise DataError(
            f"heads in {path} must have learned from the same features: "
            f"{', '.join(differences)}{remedy}"
        )


def read_heads(train_split: str, origin: Mapping[str, str], head_set: HeadSet) -> HeadFile:
    """Read a head set trained on a split, and check that it fits the features it is applied to.

    ``origin``, from ``head_origin``, has the entries that identify these features; the card must
    have the same. Heads can read only tokens of the kind that they learned from.
    """
    heads = read_head_set(train_split, head_set)
    path = head_set_path(train_split, head_set)
    check_card(path, heads.card, origin, remedy(path))
    return heads


def read_head_set(train_split: str, head_set: HeadSet) -> HeadFile:
    """Read the head file of a head set that was trained on a split.

    Raises a DataError if the file has the heads of another set or split, or lacks a head.
    """
    path = head_set_path(train_split, head_set)
    heads = read_head_file(path)
    seed = {} if head_set.seed is None else {"seed": str(head_set.seed)}
    for key, value in {"split": train_split, **head_set.card, **seed}.items():
        if (entry := heads.card.get(key, "none")) != value:
            raise DataError(f"{path}: {key} must be {value}, got {entry}")
    for objective in head_set.objectives(heads.models):
        if objective not in heads.weights:
            raise DataError(f"{path} must have the head {objective}, got none{remedy(path)}")
    return heads
