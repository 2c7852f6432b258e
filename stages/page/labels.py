"""Words and colours in which people are told of measures and tasks."""

from typing import Final

from pipeline.gallery.pictures import CLICK_COLOUR, PREDICTION_COLOUR, TRUTH_COLOUR

MEASURE_LABELS: Final = {
    "sam_score": "1 − SamScore",
    "h_std": "H_Std",
    "h_y": "H_Y",
    "h_theta": "H_Θ",
    "h_xp": "H_Xp",
    "h_a": "H_A",
    "h_t": "H_T",
    "usam": "1 − USAM",
    "delta_theta": "Δ_Θ",
    "delta_xp": "Δ_Xp",
    "delta_a": "Δ_A",
    "delta_theta_star": "Δ*_Θ",
    "delta_xp_star": "Δ*_Xp",
    "delta_a_star": "Δ*_A",
}
"""Measures as the paper writes them."""

PREDICTED_IOU_LABELS: Final = {"iou_gt": "IoU", "sam_score": "SamScore", "usam": "USAM"}
"""Where these stand as an IoU, true or predicted."""

RADAR_LABELS: Final = {"gaps": "Δ and 1 − USAM", "gaps_star": "Δ* and 1 − USAM"}
"""Lines of the radar that take the heads' own measure for each task."""

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
    "sam_score": "#3b82f6",
    "h_std": "#0d9488",
    "h_y": "#a855f7",
    "h_theta": "#d97706",
    "h_xp": "#db2777",
    "h_a": "#65a30d",
    "h_t": "#9c6644",
    "usam": "#ef4444",
    "delta_theta": "#ef4444",
    "delta_xp": "#ef4444",
    "delta_a": "#ef4444",
    "delta_theta_star": "#ef4444",
    "delta_xp_star": "#ef4444",
    "delta_a_star": "#ef4444",
    "gaps": "#ef4444",
    "gaps_star": "#ef4444",
    "oracle": "#8b949e",
    "worst": "#8b949e",
    "random": "#8b949e",
}
"""Of curves: of middling lightness, to stand out from white and from black; heads are red."""


def is_dashed(measure: str) -> bool:
    """Tell directly learned gaps, which are drawn in dashes, from the gaps of two heads."""
    return measure.endswith("_star")


def measure_label(name: str) -> str:
    """Label of a measure or radar line, which may be named as ``<measure>@<train split>``."""
    measure, _, train_split = name.partition("@")
    label = (MEASURE_LABELS | RADAR_LABELS).get(measure, measure)
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
