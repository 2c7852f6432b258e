"""Reads guarantees from gates of heads, and writes guarantees as sentences."""

from typing import TYPE_CHECKING, Final

from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.scope import OF_SETS, CalibratedGuarantee
from storage.errors import DataError
from storage.head_files.guarantees import read_guarantees
from storage.paths import gate_path

if TYPE_CHECKING:
    from pipeline.predictor import Uncertainty

WORDS: Final = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

PROMPT_WORDS: Final = {
    "center": "one click",
    "near": "one click near the middle",
    "refined": "eight clicks",
    "box": "a box",
    "corrected": "a click and three corrections",
}
"""Prompt sets -> their descriptions in the sentence of a guarantee."""


def guarantee_words(guarantee: CalibratedGuarantee) -> str:
    """Clause of a sentence about a guarantee: its share, prompts and IoU, but not its images."""
    prompts = " or ".join(PROMPT_WORDS.get(name, name) for name in guarantee.scope.prompts)
    if guarantee.of == OF_SETS:
        return (
            f"on average over such calibrations, at least {1 - guarantee.alpha:.0%} of all sets "
            f"from {prompts} have a mask with an IoU of at least {guarantee.iou_at_least:g}"
        )
    if guarantee.of == "kept":
        return (
            f"with {guarantee.confidence:.0%} confidence in this calibration, at most "
            f"{guarantee.alpha:.0%} of the kept masks from {prompts} have an IoU below "
            f"{guarantee.iou_at_least:g}"
        )
    return (
        f"on average over such calibrations, at most {guarantee.alpha:.0%} of all masks from "
        f"{prompts} are kept with an IoU below {guarantee.iou_at_least:g}"
    )


def read_gates(split: str, head_set: HeadSet, train_split: str) -> tuple[CalibratedGuarantee, ...]:
    """Read the guarantees about a head set that ``usam gate`` calibrated on an eval split.

    A gate is a file of guarantees. A guarantee is read if it is for the protocol of ``head_set``,
    for heads of ``train_split``, and for the measure 1 - USAM (1 minus the expected IoU).

    Raises
    ------
    DataError
        If there is no such guarantee, or any gate of the split is damaged or was edited.
    """
    # The only measure of its heads that a predictor compares with a threshold is 1 - USAM.
    measure = KINDS_BY_NAME[head_set.kind].named("usam")
    folder = gate_path(split, "any").parent
    keys = (head_set.protocol, measure, train_split)
    matching = tuple(
        guarantee
        for path in sorted(folder.glob("*.json"))
        for guarantee in read_guarantees(path)
        if (guarantee.scope.protocol, guarantee.measure, guarantee.train_split) == keys
    )
    if not matching:
        raise DataError(
            f"gates in {folder} must have one of {measure} for {head_set.protocol} masks by heads "
            f"of {train_split}, got none: run `usam gate --iou IOU --alpha ALPHA --split {split} "
            f"--measure {measure} --protocol {head_set.protocol}` first"
        )
    return matching


def gate_words(uncertainty: "Uncertainty") -> str:
    """Sentence of the guarantee that decides whether a mask is kept.

    Empty if no guarantee was calibrated, or none may be given for this image or prompt.
    """
    guarantee = uncertainty.permission.about_masks
    if guarantee is None:
        return ""
    words = guarantee_words(guarantee)
    return f"On images like those of {guarantee.split}: {words} (α {guarantee.alpha:g})."


def set_words(uncertainty: "Uncertainty") -> str:
    """Sentence of the guarantee about the set of proposals; empty without guarantee or set."""
    guarantee, mask_set = uncertainty.permission.about_sets, uncertainty.mask_set
    if guarantee is None or mask_set is None:
        return ""
    numbers = [str(number) for number in mask_set]
    several = f"One of the proposals {', '.join(numbers[:-1])} and {numbers[-1]}"
    return (
        f"{several if len(numbers) > 1 else f'Proposal {numbers[0]}'} has an IoU of at least "
        f"{guarantee.iou_at_least:g}, {times(guarantee.alpha)}: so often does a set have such a "
        f"mask, over all objects of images like those of {guarantee.split}."
    )


def times(alpha: float) -> str:
    """Say how often a guarantee holds that may be broken with the frequency ``alpha``.

    >>> times(0.1), times(0.15)
    ('nine times in ten', '85 times in 100')
    """
    percent = 100 * (1 - alpha)
    tenths, remainder = divmod(round(percent, 6), 10)
    return f"{percent:g} times in 100" if remainder else f"{WORDS[int(tenths)]} times in ten"
