"""The names of the method: one word per thing, in the order in which arrays hold them."""

from typing import Final

MODELS: Final = ("tiny", "small", "base_plus", "large")
"""Θ of the paper, by size."""

SINGLE_CLICKS: Final = ("center", "p1", "p2", "p3", "p4", "p5", "p6", "p7")
"""X_p of the paper: prompt sets of one click, in the order of ``point_px``."""

PROMPTS: Final = (*SINGLE_CLICKS, "refined")
"""All prompt sets; ``refined`` (x_p*) is all eight clicks together."""

TRAIN_PROMPTS: Final = ("center", "refined")
"""The prompt sets of every train cell: heads learn from the first what the second would gain."""

N_PROPOSALS: Final = 3
"""Masks of a multimask call, Â of the paper."""

PROPOSAL_PAIRS: Final = ((0, 1), (0, 2), (1, 2))
"""Pairs of proposals that are compared, in decoder order."""

MASK_FIGURES: Final = ("area", "mask_entropy", "confidence", "agreement")
"""What is known of the proposals' masks where the masks themselves are not kept; the last is of
``PROPOSAL_PAIRS``."""

JUDGED: Final = ("best", "selected")
"""Which proposal of a prediction is judged: the one with the highest IoU, or with the highest
SamScore."""

PROTOCOLS: Final = ("best", "selected")
"""What a comparison may know: the best proposal, chosen by ground truth as in the paper, or no
ground truth at all, as for a user."""

ABLATIONS: Final = ("no_mask", "no_iou")
"""What heads of the paper's Table 6 lack: the mask or the IoU token, set to 0."""

TOKEN_SETS: Final = (*JUDGED, *(f"{judged}_{lack}" for lack in ABLATIONS for judged in JUDGED))
"""Tokens that a head reads: the IoU token with the mask token of the ``best`` or of the
``selected`` proposal, or one of the two alone."""

PROTOCOL_TOKENS: Final = {"best": ("best", "selected"), "selected": ("selected",)}
"""Token sets of a protocol's heads, one for each proposal that it judges."""

OBJECTIVES: Final = (
    "iou_tiny",
    "iou_small",
    "iou_base_plus",
    "iou_large",
    "iou_refined",
    "iou_selected",
    "iou_best",
    "model_gap",
    "prompt_gap",
    "task_gap",
)
"""What heads can learn."""

PROTOCOL_OBJECTIVES: Final = {
    "best": tuple(name for name in OBJECTIVES if name != "iou_best"),
    "selected": tuple(name for name in OBJECTIVES if name != "iou_selected"),
}
"""What the nine heads of a protocol learn; ``iou_<model>`` is about its own judged mask."""

TASKS: Final = ("model", "prompt", "task", "segmentation")
"""What is corrected, in the order of the paper's Tables 1 to 4."""
