"""Words and colours in which people are told of measures and tasks."""

from typing import Final

from pipeline.gallery.pictures import CLICK_COLOUR, PREDICTION_COLOUR, TRUTH_COLOUR
from pipeline.scoring.measures import MEASURES
from pipeline.scoring.tasks import BOUNDS, IOU_GT
from stages.tables.radar import RADAR_LINES

BOUND_COLOUR: Final = "#8b949e"
"""Of the curves by the true gain, by its reverse and by nothing."""

MEASURE_LABELS: Final = {measure.name: measure.symbol for measure in MEASURES}
"""Measures as the paper writes them."""

PREDICTED_IOU_LABELS: Final = {
    IOU_GT: "IoU",
    **{measure.name: measure.predicted_iou for measure in MEASURES if measure.predicted_iou},
}
"""Where these stand as an IoU, true or predicted."""

RADAR_LABELS: Final = {line.name: line.symbol for line in RADAR_LINES}
"""Lines of the radar."""

METHOD_LABELS: Final = {
    "sam": "SAM2 alone",
    "entropy": "entropy",
    "views5": "|T| = 5 views",
    "prompts8": "|X_p| = 8 clicks",
    "usam": "nine heads",
}
"""Columns of the paper's Table 7."""

TASK_LABELS: Final = {
    "model": "Model",
    "prompt": "Prompt",
    "task": "Task",
    "segmentation": "Segmentation",
}

CORRECTIONS: Final = {
    "model": "The best mask of the tiny model gives way to that of the large one.",
    "prompt": "The best mask of one click gives way to that of eight.",
    "task": "The mask with the highest SamScore gives way to the best of the three.",
    "segmentation": "The best mask gives way to the ground truth.",
}
"""What each task corrects."""

SHOWN_MASKS: Final = {
    "model": "The best mask of the {model} model; the second IoU is the large one's.",
    "prompt": "The best mask of the {model} model from one click; the second IoU is that of eight.",
    "task": "The mask of the {model} model with the highest SamScore; the second IoU is that of "
    "the best of the three.",
    "segmentation": "The best mask of the {model} model; the truth's IoU is 1.",
}
"""What pictures of each task show in green, of its default model."""

MASK_COLOURS: Final = {
    "ground truth": TRUTH_COLOUR,
    "prediction": PREDICTION_COLOUR,
    "click": CLICK_COLOUR,
}
"""What the colours of a picture mean."""

ENDS: Final = {"most": "Most uncertain", "least": "Least uncertain"}
"""Ends of the gallery."""

COLOURS: Final = {
    **{measure.name: measure.colour for measure in MEASURES},
    **{line.name: line.colour for line in RADAR_LINES},
    **dict.fromkeys(BOUNDS, BOUND_COLOUR),
}
"""Of curves and lines of the radar."""

DASHED: Final = {
    *(measure.name for measure in MEASURES if measure.is_dashed),
    *(line.name for line in RADAR_LINES if line.is_dashed),
}
"""Measures and lines of the radar that are drawn in dashes."""


def is_dashed(name: str) -> bool:
    """Whether a measure or line of the radar is drawn in dashes."""
    return name in DASHED


def measure_label(name: str) -> str:
    """Label of a measure or radar line, which may be named as ``<measure>@<train split>``."""
    measure, _, train_split = name.partition("@")
    label = (RADAR_LABELS | MEASURE_LABELS).get(measure, measure)
    return f"{label} ({train_split})" if train_split else label


def model_label(model: str) -> str:
    """Name of a model in a sentence."""
    return model.replace("_", " ")


def shown_mask(task: str, model: str) -> str:
    """Say what the pictures of a task show in green."""
    return SHOWN_MASKS[task].format(model=model_label(model))


def column_label(name: str) -> str:
    """Label of a row or column of correlations."""
    return PREDICTED_IOU_LABELS.get(name) or measure_label(name)
