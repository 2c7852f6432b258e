"""Labels, colours and number formats of the page."""

from collections.abc import Hashable, Mapping
from math import isnan
from typing import Any, Final

from pipeline.annotations import DOUBTED
from pipeline.gallery import CLICK_COLOUR, PREDICTION_COLOUR, TRUTH_COLOUR
from pipeline.heads.kinds import HEAD_KINDS
from pipeline.scoring.measures import BOUNDS, IOU_GT, MEASURES, Measure
from pipeline.scoring.tasks import judged_proposal
from stages.tables.report_table import WITH_BOUNDS
from stages.tables.special_tables import RADAR_LINES, RadarLine

BOUND_COLOUR: Final = "#8b949e"
"""Colour of the curves of the oracle, the worst order and the random order."""

METHOD_LABELS: Final = {
    "sam": "model alone",
    "entropy": "entropy",
    "views5": "|T| = 5 views",
    "prompts8": "|X_p| = 8 clicks",
    **{kind.named("usam"): f"heads{kind.label}" for kind in HEAD_KINDS},
}
"""Headings of the methods in the table of runtimes, the paper's Table 7."""

TASK_LABELS: Final = {
    "model": "Model",
    "prompt": "Prompt",
    "task": "Task",
    "segmentation": "Segmentation",
}

PROTOCOL_LABELS: Final = {"best": "Best masks", "selected": "Selected masks"}

TRUTH_MARKS: Final = {"best": "chosen by ground truth", "selected": ""}
"""Note beside the name of a protocol in headings; empty without ground truth."""

PROTOCOL_MEANINGS: Final = {
    "best": "As in the paper, a model is judged by the best of its three proposals, which takes "
    "the ground truth to find. SamScores, entropies, agreements and the heads' tokens are those of "
    "that mask, so they rely on what nobody knows in use. H_Y, H_A, the Dice among proposals and "
    "the highest SamScore do not. In the task “Task”, which corrects the selection, all are those "
    "of the selected mask.",
    "selected": "As in use, without ground truth: a model is judged by the proposal with the "
    "highest SamScore. SamScores, entropies, agreements, tokens and what the heads learned are "
    "those of that mask.",
}
"""Text about each protocol: the masks that it judges, and the inputs of its measures."""

JUDGED_LABELS: Final = {"best": "best mask", "selected": "mask with the highest SamScore"}
"""Names of the judged proposals in sentences."""

MASK_LABELS: Final = {"best": "best masks", "selected": "selected masks"}
"""Names of the judged proposals in captions."""

CORRECTION_SENTENCES: Final = {
    "model": "The {mask} of the smallest model gives way to that of the largest.",
    "prompt": "The {mask} from one click gives way to that from eight.",
    "task": "The {mask} gives way to the best of the three.",
    "segmentation": "The {mask} gives way to the ground truth.",
}
"""Sentence about the correction of each task; ``{mask}`` is the judged proposal."""

MASK_COLOURS: Final = {
    "ground truth": TRUTH_COLOUR,
    "prediction": PREDICTION_COLOUR,
    "click": CLICK_COLOUR,
}
"""Colours of the masks and the click in pictures of the gallery."""

ENDS: Final = {
    "most": "Most uncertain",
    "least": "Least uncertain",
    DOUBTED: "Doubted most",
}
"""Headings of the ends of the gallery: groups of objects with extreme ranks."""

DRAWN: Final[tuple[Measure | RadarLine, ...]] = (*MEASURES, *RADAR_LINES)

SYMBOLS: Final = {line.name: line.symbol for line in DRAWN}
"""Symbols of measures, as in the paper, and of lines of the radar, by name."""

PREDICTED_IOU_LABELS: Final = SYMBOLS | {
    IOU_GT: "IoU",
    **{measure.name: measure.predicted_iou for measure in MEASURES if measure.predicted_iou},
}
"""Symbols for measures shown as the IoU that they predict: SamScore, not 1 − SamScore."""

COLOURS: Final = {
    **{line.name: line.colour for line in DRAWN},
    **dict.fromkeys(BOUNDS, BOUND_COLOUR),
}

DASHED: Final = {line.name for line in DRAWN if line.is_dashed}

N_TINTS: Final = 20
"""Number of shades of a colour for correlations between 0 and 1."""

DASH: Final = "–"
"""Dash that is printed for NaN, a number that does not exist."""

GLOSSARY: Final[Mapping[str, str]] = {
    "IoU": "Intersection over union of a mask with the ground truth: 1 is perfect.",
    "prompt": "A click on the object. One is near its centre, seven are drawn at random.",
    "proposal": "One of the three masks that a model offers for a prompt.",
    "SamScore": "The IoU that the model itself predicts for a proposal.",
    "best": "The proposal with the highest IoU. Only the ground truth reveals which it is.",
    "selected": "The proposal with the highest SamScore: what a user gets.",
    "refined": "The best, or the selected, proposal from all eight clicks together.",
    "judged mask": "The mask that a correction replaces: the best proposal or the selected one.",
    "view": "The image as it is (identity), flipped, compressed, blurred or with noise.",
    "model": "One of the Segment Anything models that were run.",
    "family": "The release that the models come from, such as sam2.1.",
    "entropy": "Uncertainty of a soft mask in bits, weighted by its foreground (Eq. 3).",
    "head": "A small network that predicts an IoU, or a gap of two, from a model's tokens; heads "
    "“ours” read statistics of the masks, too.",
    "token": "An output vector of the decoder: one for the IoU, one for each mask.",
    "oracle, worst": "The orders by true gain, falling and rising: all others lie between.",
    "AUC": "Area under the mean IoU as objects are corrected, most uncertain first.",
    "relative AUC": "(AUC − worst) / (oracle − worst): 100 is perfect, 50 a random order.",
    "margin": "Relative AUC minus that of 1 − SamScore of the same masks, in percentage points.",
    "risk": "1 − IoU of a mask: how far it falls short of a perfect one.",
    "AURC": "Area under the mean risk of the kept masks by their share.",
    "ECE": "Mean distance between predicted and true IoU, in bins of equal mass.",
    "interval": "Range that holds the true value in 95 % of data sets of such images, or videos.",
}
"""Words in the glossary of the page, and their meanings; measures are listed separately."""


def measure_label(name: str, symbols: Mapping[str, str] = SYMBOLS) -> str:
    """Label of a measure or radar line, with its train split, if any, in brackets.

    ``name`` is ``<measure>@<train split>`` or a measure alone. A measure without an entry in
    ``symbols`` is labelled by its own name.
    """
    measure, _, train_split = name.partition("@")
    label = symbols.get(measure, measure)
    return f"{label} ({train_split})" if train_split else label


def model_label(model: str) -> str:
    """Name of a model with spaces: ``base plus`` for ``base_plus``."""
    return model.replace("_", " ")


def protocol_heading(protocol: str) -> str:
    """Heading of a protocol, with its note from ``TRUTH_MARKS`` if there is one."""
    mark = TRUTH_MARKS[protocol]
    return f"{PROTOCOL_LABELS[protocol]} ({mark})" if mark else PROTOCOL_LABELS[protocol]


def correction(protocol: str, task: str) -> str:
    """Sentence about the correction of a task: which mask replaces the judged mask."""
    return CORRECTION_SENTENCES[task].format(mask=JUDGED_LABELS[judged_proposal(protocol, task)])


def shown_mask(protocol: str, task: str, model: str) -> str:
    """Sentences about the pictures of a task: its correction, and the model that made the masks."""
    return f"{correction(protocol, task)} The masks are those of the {model_label(model)} model."


def caption(quantity: str, protocol: str, task: str = "") -> str:
    """Caption of a table: the quantity, and the masks that the protocol judges in the task.

    If ``protocol`` is empty, the caption is the quantity alone.
    """
    judged = judged_proposal(protocol, task) if protocol else ""
    return f"{quantity}, {MASK_LABELS[judged]}" if judged else quantity


def number(value: float, n_digits: int = 1) -> str:
    """Write a number with ``n_digits`` decimals; NaN becomes a dash."""
    # Adding 0.0 turns -0.0 into 0.0.
    written = f"{round(value, n_digits) + 0.0:.{n_digits}f}".replace("-", "−")
    return DASH if isnan(value) else written


def with_bounds(row: Mapping[Hashable, Any], column: str) -> str:
    """Write the number in a column of a row, with its bounds as whole numbers in brackets.

    The bounds are in the columns ``<column>_low`` and ``<column>_high``. There are no brackets if
    the lower bound is NaN.
    """
    value, low, high = (row[column + end] for end in WITH_BOUNDS)
    written = number(value)
    return written if isnan(low) else f"{written} ({number(low, 0)}–{number(high, 0)})"


def interval(low: float, high: float, n_digits: int) -> str:
    """Write the ends of an interval with a dash between them, or "to" if the lower is negative."""
    return number(low, n_digits) + (" to " if low < 0 else "–") + number(high, n_digits)


def significant(value: float) -> str:
    """Write a number with three significant digits; NaN becomes a dash."""
    return DASH if isnan(value) else f"{value:#.3g}".rstrip(".")


def timed_ratio(row: Mapping[Hashable, Any]) -> str:
    """Write the time of a method divided by the time of the model alone, with its interval.

    The text is ``as the model alone`` if the interval contains 1. ``row`` is of the table of
    runtimes.
    """
    ratio, low, high = (row["ratio" + end] for end in WITH_BOUNDS)
    if low <= 1 <= high:
        return "as the model alone"
    return f"{number(ratio, 2)}× ({number(low, 2)}–{number(high, 2)})"


def tint(correlation: float) -> str:
    """CSS class for the colour of a correlation; empty near 0 and for NaN.

    The classes are ``r1`` to ``r20`` (red) above 0 and ``b1`` to ``b20`` (blue) below 0.
    """
    level = 0 if isnan(correlation) else round(N_TINTS * correlation)
    return f"{'r' if level > 0 else 'b'}{abs(level)}" if level else ""
