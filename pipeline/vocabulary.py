"""The names of the method: one word per thing, in the order in which arrays hold them."""

from typing import Final

FAMILIES: Final = (
    "mini",
    "sam2",
    "sam2.1",
)
"""Releases of SAM2 models; ``mini`` is the embedded one. What each is built from stands in
``pipeline/sam/families.py``, its weights in ``storage/checkpoints/<family>.csv``."""

MODELS: Final = ("tiny", "small", "base_plus", "large")
"""Θ of the paper, by size."""

SINGLE_CLICKS: Final = ("center", "p1", "p2", "p3", "p4", "p5", "p6", "p7")
"""X_p of the paper: prompt sets of one click, in the order of ``point_px``."""

PROMPTS: Final = (*SINGLE_CLICKS, "refined")
"""All prompt sets; ``refined`` (x_p*) is all eight clicks together."""

TRAIN_PROMPTS: Final = ("center", "refined")
"""The prompt sets that the heads learn from."""

N_PROPOSALS: Final = 3
"""Masks of a multimask call, Â of the paper."""

TOKEN_SETS: Final = ("best", "selected", "no_mask", "no_iou")
"""Tokens that a head reads: the IoU token with the mask token of the ``best`` proposal, which is
the paper's, or of the ``selected`` one; the former with the mask or the IoU token set to 0."""

OBJECTIVES: Final = (
    "iou_tiny",
    "iou_small",
    "iou_base_plus",
    "iou_large",
    "iou_refined",
    "iou_selected",
    "model_gap",
    "prompt_gap",
    "task_gap",
)
"""What the heads learn."""

TASKS: Final = ("model", "prompt", "task", "segmentation")
"""What is corrected, in the order of the paper's Tables 1 to 4."""
