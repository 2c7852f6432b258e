"""The names of clicks, proposals, tasks and objectives, in the order of arrays."""

from collections.abc import Sequence
from typing import Final

SINGLE_CLICKS: Final = ("center", "p1", "p2", "p3", "p4", "p5", "p6", "p7")
"""X_p of the paper: prompt sets of one click, in the order of ``point_px``."""

DRAWN_CLICK: Final = SINGLE_CLICKS[1]
"""A click that is drawn uniformly from its object; the first, ``center``, lies in the middle."""

PROMPTS: Final = (*SINGLE_CLICKS, "refined")
"""Prompt sets of the method; ``refined`` (x_p*) is all eight clicks together."""

TRAIN_PROMPTS: Final = ("center", "refined")
"""Prompt sets of every train cell: from ``center``, heads learn the gain of ``refined``."""


def has_cuts(view: str, prompts: Sequence[str]) -> bool:
    """Whether a cell has the IoU of its masks at every cut: in view ``identity``, or to learn from.

    Cells of eval splits in other views, with the prompt sets ``PROMPTS``, serve entropies alone.
    """
    return view == "identity" or tuple(prompts) != PROMPTS


OBJECT_SCORE: Final = "object_score"
"""Name of the decoder's logit for there being an object, which families such as SAM 1 lack."""

NEAR_CLICKS: Final = ("near1", "near2", "near3", "near4", "near5", "near6", "near7")
"""Extra prompt sets of one click: ``center``, moved a little."""

N_PROPOSALS: Final = 3
"""Number of masks that a multimask call of the decoder returns, Â of the paper."""

PROPOSAL_PAIRS: Final = ((0, 1), (0, 2), (1, 2))
"""Pairs of proposals that are compared, in decoder order."""

MASK_STATISTICS: Final = ("area", "mask_entropy", "confidence", "agreement")
"""Statistics of the proposals' masks that every cell stores, with or without its masks.
``agreement`` has a value for each of ``PROPOSAL_PAIRS``, the others for each proposal."""

IMAGE_STATISTICS: Final = ("encoder_mean", "encoder_std")
"""Statistics of an image that every cell stores: the mean and the deviation of each channel of the
encoder's levels over the image."""

JUDGED: Final = ("best", "selected")
"""The two ways to pick a prediction's judged proposal: ``best`` has the highest IoU, ``selected``
has the highest SamScore."""

PROTOCOLS: Final = ("best", "selected")
"""Protocols of an evaluation: ``best`` judges the proposal with the highest IoU, which only the
ground truth tells, as in the paper; ``selected`` judges that with the highest SamScore."""

USED: Final = "selected"
"""The protocol of users: without ground truth, they cannot know the best proposal."""

ABLATIONS: Final = ("no_mask", "no_iou")
"""Ablations of the paper's Table 6: heads whose mask token or IoU token is set to 0."""

TREES: Final = "trees"
"""Rival of the heads `ours`: boosted trees that learn from the statistics of the masks alone."""

NO_STATISTICS: Final = "no_statistics"
"""Ablation of the heads `ours`: they read tokens alone, and no statistics of masks and image."""

OWN_ABLATIONS: Final = ("no_tokens", NO_STATISTICS, TREES)
"""Ablations of the heads `ours`: tokens or statistics are set to 0, or trees replace networks."""

TOKEN_SETS: Final = (
    *JUDGED,
    *(f"{judged}_{lack}" for lack in ABLATIONS for judged in JUDGED),
    *(f"{USED}_{lack}" for lack in OWN_ABLATIONS),
)
"""Tokens that a head reads: the IoU token with the mask token of the ``best`` or of the
``selected`` proposal, or less, as ``ABLATIONS`` and ``OWN_ABLATIONS`` say."""

PROTOCOL_TOKENS: Final = {"best": ("best", "selected"), "selected": ("selected",)}
"""Token sets of a protocol's heads, one for each proposal that the protocol judges."""

IOU_OBJECTIVES: Final = ("iou_refined", "iou_selected", "iou_best")
"""Objectives that are IoUs of other masks than the judged mask: the mask from eight clicks, the
selected proposal, and the best proposal."""

MODEL_GAP: Final = "model_gap"
"""Objective: the IoU that the largest model gains over the smallest; needs two models or more."""

TASKS: Final = ("model", "prompt", "task", "segmentation")
"""The four corrections that a measure should predict, in the order of the paper's Tables 1 to 4.
The correction ``model`` needs two models or more."""


def objectives_of(models: Sequence[str]) -> tuple[str, ...]:
    """Names of the objectives of heads for some models, given from small to large.

    ``iou_<model>`` is the IoU of that model's judged mask; two models or more also have
    ``MODEL_GAP``.

    >>> objectives_of(["tiny"])
    ('iou_tiny', 'iou_refined', 'iou_selected', 'iou_best', 'prompt_gap', 'task_gap')
    """
    gaps = ("prompt_gap", "task_gap") if len(models) == 1 else (MODEL_GAP, "prompt_gap", "task_gap")
    return (*(f"iou_{model}" for model in models), *IOU_OBJECTIVES, *gaps)


def protocol_objectives(protocol: str, models: Sequence[str]) -> tuple[str, ...]:
    """Names of the objectives of a protocol's heads: nine for the paper's four models.

    Left out is the objective that repeats ``iou_<model>``: ``iou_best`` or ``iou_selected``,
    whichever proposal the protocol judges.
    """
    # `iou_tiny`, ... already are the IoUs of the judged proposals, by model.
    judged_iou = {"best": "iou_best", "selected": "iou_selected"}[protocol]
    return tuple(name for name in objectives_of(models) if name != judged_iou)


MAX_PIXELS: Final = 178_956_970
"""Largest number of pixels of an image; Pillow refuses more as a decompression bomb."""
