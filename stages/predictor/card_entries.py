"""Entries of a card that say where heads may be trusted: gates and training colours."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.predictor.colours import N_FOLDS, TrainingColours, describe_colours, fit_colours
from stages.program.progress import progress
from storage.errors import DataError, counted
from storage.images.videos import SplitImages
from storage.paths import gate_path
from storage.split.object_table import ObjectTable

GATES: Final = "gates"
"""Entry of a card with its gates, at most one of masks and one of sets per model, as JSON."""

SET: Final = "set"
"""Promise about the sets of a model's proposals, beside ``GUARANTEES`` about single masks."""

WORDS: Final = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Gate:
    """A threshold, its promise, and the masks that it was calibrated on.

    Under the promise ``SET``, these are all three proposals of each object.
    """

    split: str
    """Eval split of those masks."""
    protocol: str
    """Which of a model's masks are meant, best or selected."""
    model: str
    measure: str
    train_split: str
    """Train split of the heads; empty for a measure without."""
    promise: str
    """One of ``GUARANTEES``, or ``SET``."""
    iou_at_least: float
    alpha: float
    confidence: float | None
    """Probability over calibrations; None if the promise is about their mean."""
    threshold: float
    """A mask is kept if the measure is at most this: larger is more uncertain. A proposal is in a
    set if the doubt that the measure leaves about those ahead is at least this."""
    kept: float
    """Share of those masks that is kept."""
    n_objects: int
    n_groups: int
    """Images, or videos."""


def promise_words(gate: Gate) -> str:
    """What a gate promises of images like those that it was calibrated on."""
    if gate.promise == SET:
        return (
            f"on average over such calibrations, at least {1 - gate.alpha:.0%} of all sets have a "
            f"mask with an IoU of at least {gate.iou_at_least:g}"
        )
    if gate.promise == "kept":
        return (
            f"with {gate.confidence:.0%} confidence in this calibration, at most {gate.alpha:.0%} "
            f"of the kept masks have an IoU below {gate.iou_at_least:g}"
        )
    return (
        f"on average over such calibrations, at most {gate.alpha:.0%} of all masks are kept with "
        f"an IoU below {gate.iou_at_least:g}"
    )


def read_gates(split: str, head_set: HeadSet, train_split: str) -> tuple[Gate, ...]:
    """Gates of an eval split that hold the expected IoU of a head set to a promise.

    Raises
    ------
    DataError
        If there is none.
    """
    # A predictor holds 1 - USAM to a gate, no other measure of its heads.
    measure = KINDS_BY_NAME[head_set.kind].named("usam")
    folder = gate_path(split, "any").parent
    keys = (head_set.protocol, measure, train_split)
    gates = [Gate(**json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]
    matching = tuple(
        gate for gate in gates if (gate.protocol, gate.measure, gate.train_split) == keys
    )
    if not matching:
        raise DataError(
            f"gates in {folder} must have one of {measure} for {head_set.protocol} masks by heads "
            f"of {train_split}, got none: run `usam gate --iou IOU --alpha ALPHA --split {split} "
            f"--measure {measure} --protocol {head_set.protocol}` first"
        )
    return matching


def gates_entry(gates: tuple[Gate, ...]) -> dict[str, str]:
    """Gates as the entry of a card; nothing if there are none."""
    return {GATES: json.dumps([asdict(gate) for gate in gates])} if gates else {}


def gate_of(card: Mapping[str, str], model: str, *, of_sets: bool = False) -> Gate | None:
    """The card's gate for masks of a model, or for sets of its proposals; None without one."""
    return next(
        (gate for gate in _gates(card) if gate.model == model and (gate.promise == SET) == of_sets),
        None,
    )


def gate_words(card: Mapping[str, str], model: str) -> str:
    """Where a model's gate was calibrated, and its promise; empty without a gate."""
    gate = gate_of(card, model)
    if gate is None:
        return ""
    return f"On images like those of {gate.split}: {promise_words(gate)} (α {gate.alpha:g})."


def set_words(card: Mapping[str, str], model: str, mask_set: Sequence[int] | None) -> str:
    """What is promised of a mask set, and where that was calibrated; empty without a set."""
    gate = gate_of(card, model, of_sets=True)
    if gate is None or mask_set is None:
        return ""
    numbers = [str(number) for number in mask_set]
    several = f"One of the proposals {', '.join(numbers[:-1])} and {numbers[-1]}"
    return (
        f"{several if len(numbers) > 1 else f'Proposal {numbers[0]}'} has an IoU of at least "
        f"{gate.iou_at_least:g}, {times(gate.alpha)}: so often does a set have such a mask, over "
        f"all objects of images like those of {gate.split}."
    )


def times(alpha: float) -> str:
    """How often a promise holds of which a share ``alpha`` may be broken.

    >>> times(0.1), times(0.15)
    ('nine times in ten', '85 times in 100')
    """
    percent = 100 * (1 - alpha)
    tenths, remainder = divmod(round(percent, 6), 10)
    return f"{percent:g} times in 100" if remainder else f"{WORDS[int(tenths)]} times in ten"


def gated_models(card: Mapping[str, str]) -> tuple[str, ...]:
    """Models that the card has a gate for."""
    return tuple(dict.fromkeys(gate.model for gate in _gates(card)))


def _gates(card: Mapping[str, str]) -> list[Gate]:
    return [Gate(**values) for values in json.loads(card.get(GATES, "[]"))]


COLOURS: Final = "training_colours"
"""Entry of a card with the colours of the images that its heads learned from, as JSON."""

MOST_IMAGES: Final = 2000
"""Largest number of images that are read, evenly spaced in the split."""


def colours_entry(table: ObjectTable, folder: Path) -> dict[str, str]:
    """Colours of the images of a train split as the entry of a card; empty for too few images.

    Raises
    ------
    ImageError
        If an image is missing or damaged.
    """
    files = [str(file) for file in table.file]
    if len(files) < N_FOLDS:
        print(
            f"note: {counted(len(files), 'image')} to learn from, fewer than {N_FOLDS}: the card "
            "cannot say which images are unlike them",
            file=sys.stderr,
        )
        return {}
    images = SplitImages(folder, files)
    steps = np.linspace(0, len(files) - 1, min(len(files), MOST_IMAGES)).round().astype(int)
    rows = []
    with progress("read colours", len(steps), "images") as advance:
        for i in steps:
            size = {"height_px": int(table.height_px[i]), "width_px": int(table.width_px[i])}
            rows.append(describe_colours(images.read(files[i], **size)))
            advance(1)
    return {COLOURS: json.dumps(asdict(fit_colours(np.array(rows))))}


def training_colours(card: Mapping[str, str]) -> TrainingColours | None:
    """Training colours in a card; None if the card has none."""
    return TrainingColours(**json.loads(card[COLOURS])) if COLOURS in card else None


DRAWN_ONLY: Final = "the mini models know drawn shapes only"

COMMANDS: Final = ("usam checkpoints fetch sam2.1 --model tiny", "usam heads fetch sam2.1")
"""Commands that bring models trained on photographs."""

NOTE: Final = (
    f"note: {DRAWN_ONLY}; for photographs run {' && '.join(COMMANDS)}, then add --family sam2.1"
)
