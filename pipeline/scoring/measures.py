"""The table of measures, from which scores, report tables, figures and docs follow."""

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pipeline.heads.kinds import HEAD_KINDS, ISOTONIC, KINDS_BY_NAME, PAPER, HeadKind
from pipeline.proposals import Values
from pipeline.scoring.evidence import Evidence
from pipeline.vocabulary import TASKS

BASELINE: Final = "sam_score"
"""The measure with which all other measures of the same masks are compared."""

BOUNDS: Final = ("oracle", "worst", "random")
"""Names of three orders that bound the curves of measures: by true gain, by its reverse, random."""

IOU_GT: Final = "iou_gt"
"""Name of the true IoU of the judged mask in tables of measures."""


@dataclass(frozen=True)
class Measure:
    """One row of the table: a measure of the uncertainty of an object; larger is more uncertain."""

    name: str
    """Name in tables and files."""
    symbol: str
    """Symbol in reports and figures."""
    meaning: str
    """Definition in one line, with its equation."""
    compute: Callable[[Evidence], Values]
    colour: str
    """Colour of its curve, whose medium lightness is visible on white and on black."""
    tasks: tuple[str, ...] = ()
    """Tasks whose tables and figures show the measure; tables of all measures always show it."""
    heads: str = ""
    """Kind of the heads that predict the measure, once for each train split and token set, or
    ``ISOTONIC``; empty for a measure without training."""
    judged: str = ""
    """The only judged proposal for which the measure is shown; empty if it is shown for both."""
    compares_models: bool = False
    """Whether the measure needs two models or more."""
    knows_truth: bool = False
    """Whether the measure knows which proposal is the best, so that it can rank nothing in use. It
    is computed in protocol ``best`` alone, and not compared with other measures."""
    agreement: str = ""
    """The optional agreement without which the measure is left out; empty if it needs none."""
    is_dashed: bool = False
    """Whether its curve is dashed, to tell curves of the same colour apart."""
    predicted_iou: str = ""
    """If 1 - the measure is a predicted IoU, the symbol of that IoU, which tables of single objects
    show; otherwise empty."""
    radar_lines: tuple[str, ...] = ()
    """Lines of the radar chart that show the measure at its tasks; a line joins several measures.
    A measure without heads has a line of its own."""
    gallery: str = ""
    """Task whose gallery the measure ranks. Each kind of heads has one measure per task, and one
    untrained measure serves without heads."""

    def is_known(self, models: Collection[str], arrays: Container[str]) -> bool:
        """Whether the measure can be computed from the evaluated models and computed arrays."""
        return (len(models) > 1 or not self.compares_models) and (
            not self.agreement or self.agreement in arrays
        )

    @property
    def needs_heads(self) -> bool:
        """Whether the measure comes from heads, or from the isotonic regression."""
        return bool(self.heads)


_of_heads: Final = partial(Measure, colour=KINDS_BY_NAME[PAPER].colour, heads=PAPER)

DECLARED: Final = (
    Measure(
        "sam_score",
        "1 − SamScore",
        "1 minus the SamScore of the judged mask, the IoU that the model predicts for it",
        lambda evidence: 1 - evidence.sam_score(),
        colour="#3b82f6",
        tasks=TASKS,
        predicted_iou="SamScore",
    ),
    Measure(
        "sam_score_highest",
        "1 − SamScore, highest",
        "1 minus the highest SamScore of the three proposals, whichever is judged; where the "
        "selected one is judged, it is the row above",
        lambda evidence: 1 - evidence.highest_sam_score(),
        colour="#7dabf8",
        tasks=TASKS,
        judged="best",
        predicted_iou="SamScore, highest",
    ),
    Measure(
        "sam_score_largest",
        "1 − SamScore_L",
        "1 minus the SamScore of the judged mask of the largest model",
        lambda evidence: 1 - evidence.largest_sam_score(),
        colour="#6366f1",
        tasks=("model",),
        compares_models=True,
    ),
    Measure(
        "sam_score_gain",
        "SamScore_L − SamScore",
        "what the largest model's SamScore has over the model's own, each of its judged mask",
        lambda evidence: evidence.largest_sam_score() - evidence.sam_score(),
        colour="#6366f1",
        tasks=("model",),
        is_dashed=True,
        compares_models=True,
    ),
    Measure(
        "h_std",
        "H_Std",
        "entropy of the judged mask alone: the mean binary entropy of its pixels, weighted by "
        "their foreground probability (Eq. 3)",
        lambda evidence: evidence.array("h_std"),
        colour="#0d9488",
        tasks=TASKS,
        gallery="segmentation",
    ),
    Measure(
        "h_y",
        "H_Y",
        "predictive entropy: of the mean mask of all views, clicks, models and proposals (Eq. 4)",
        lambda evidence: evidence.array("h_y"),
        colour="#a855f7",
        tasks=TASKS,
    ),
    Measure(
        "h_theta",
        "H_Θ",
        "entropy of the mean of all models' judged masks (Eq. 5)",
        lambda evidence: evidence.array("h_theta"),
        colour="#d97706",
        tasks=("model", "segmentation"),
        compares_models=True,
        gallery="model",
    ),
    Measure(
        "h_xp",
        "H_Xp",
        "entropy of the mean of the judged masks of the eight single clicks (Eq. 6)",
        lambda evidence: evidence.array("h_xp"),
        colour="#db2777",
        tasks=("prompt", "segmentation"),
        gallery="prompt",
    ),
    Measure(
        "h_a",
        "H_A",
        "entropy of the mean of the three proposals, weighted by SamScore (Eq. 7)",
        lambda evidence: evidence.array("h_a"),
        colour="#65a30d",
        tasks=("task", "segmentation"),
        gallery="task",
    ),
    Measure(
        "h_t",
        "H_T",
        "entropy of the mean of the judged masks in all views (not in the paper)",
        lambda evidence: evidence.array("h_t"),
        colour="#9c6644",
        # No task corrects a view, so H_T is shown only where all entropies are.
        tasks=("segmentation",),
    ),
    Measure(
        "dice_theta",
        "1 − Dice_Θ",
        "1 minus the mean Dice of all pairs of models' judged masks",
        lambda evidence: 1 - evidence.array("dice_theta"),
        colour="#d97706",
        tasks=("model", "segmentation"),
        compares_models=True,
        is_dashed=True,
    ),
    Measure(
        "dice_ends",
        "1 − Dice_SL",
        "1 minus the Dice of the smallest and the largest model's judged masks",
        lambda evidence: 1 - evidence.array("dice_ends"),
        colour="#a16207",
        tasks=("model",),
        compares_models=True,
        is_dashed=True,
    ),
    Measure(
        "dice_xp",
        "1 − Dice_Xp",
        "1 minus the mean Dice of all pairs of the judged masks of the eight single clicks",
        lambda evidence: 1 - evidence.array("dice_xp"),
        colour="#db2777",
        tasks=("prompt", "segmentation"),
        is_dashed=True,
    ),
    Measure(
        "dice_near",
        "1 − Dice_near",
        "1 minus the mean Dice of all pairs of the judged masks of the first click and of seven "
        "moved a little from it; only where `extra_prompts` has `near`",
        lambda evidence: 1 - evidence.array("dice_near"),
        colour="#e11d48",
        tasks=("prompt", "segmentation"),
        agreement="dice_near",
        is_dashed=True,
    ),
    Measure(
        "dice_a",
        "1 − Dice_A",
        "1 minus the mean Dice of the three pairs of proposals",
        lambda evidence: 1 - evidence.array("dice_a"),
        colour="#65a30d",
        tasks=("task", "segmentation"),
        is_dashed=True,
    ),
    Measure(
        "dice_t",
        "1 − Dice_T",
        "1 minus the mean Dice of all pairs of the judged masks in the views of T",
        lambda evidence: 1 - evidence.array("dice_t"),
        colour="#9c6644",
        tasks=("segmentation",),
        is_dashed=True,
    ),
    Measure(
        "soft_dice",
        "1 − SDC",
        "1 minus the Soft Dice Confidence of the judged mask: the soft Dice of its probabilities "
        "with the mask itself, cut at 0.5",
        lambda evidence: 1 - evidence.array("soft_dice"),
        colour="#0d9488",
        tasks=TASKS,
        is_dashed=True,
    ),
    Measure(
        "stable_score",
        "1 − SamScore × stability",
        "1 minus the SamScore of the judged mask times its stability score, the IoU of the mask "
        "cut at logits 1 and −1; SAM2's mask generator filters masks by both",
        lambda evidence: 1 - evidence.array("stable_score"),
        colour="#0284c7",
        tasks=TASKS,
        agreement="stable_score",
        is_dashed=True,
    ),
    Measure(
        "not_selected",
        "selected ≠ best, known",
        "1 if the proposal with the highest SamScore is not the best, else 0: it knows the ground "
        "truth",
        lambda evidence: evidence.misses_best(),
        colour="#64748b",
        tasks=("task",),
        judged="selected",
        knows_truth=True,
    ),
    Measure(
        "sam_score_isotonic",
        "1 − SamScore, isotonic",
        "1 minus the IoU that the SamScore of the judged mask stands for, by isotonic regression "
        "on the train split, for each model; it ranks as the SamScore does, but for ties",
        lambda evidence: 1 - evidence.predicted(ISOTONIC),
        colour="#3b82f6",
        tasks=("segmentation",),
        heads=ISOTONIC,
        is_dashed=True,
        predicted_iou="SamScore, isotonic",
    ),
    _of_heads(
        "usam",
        "1 − USAM",
        "1 minus the IoU that the model's own head predicts for the judged mask",
        lambda evidence: 1 - evidence.heads.own,
        tasks=("segmentation",),
        predicted_iou="USAM",
        radar_lines=("gaps", "gaps_star"),
        gallery="segmentation",
    ),
    _of_heads(
        "delta_theta",
        "Δ_Θ",
        "what a larger model would gain, as two heads predict it: USAM_large − USAM_tiny",
        lambda evidence: evidence.heads.gaps["model"],
        tasks=("model",),
        compares_models=True,
        radar_lines=("gaps",),
    ),
    _of_heads(
        "delta_xp",
        "Δ_Xp",
        "what more clicks would gain, as two heads predict it: USAM_refined − USAM",
        lambda evidence: evidence.heads.gaps["prompt"],
        tasks=("prompt",),
        radar_lines=("gaps",),
    ),
    _of_heads(
        "delta_a",
        "Δ_A",
        "what the best proposal has over the selected one, as two heads predict it: "
        "USAM_best − USAM_selected",
        lambda evidence: evidence.heads.best - evidence.heads.selected,
        tasks=("task",),
        radar_lines=("gaps",),
    ),
    _of_heads(
        "delta_theta_star",
        "Δ*_Θ",
        "what a larger model would gain, as one head predicts it: IoU of large − IoU of tiny",
        lambda evidence: evidence.heads.direct_gaps["model"],
        tasks=("model",),
        compares_models=True,
        is_dashed=True,
        radar_lines=("gaps_star",),
        gallery="model",
    ),
    _of_heads(
        "delta_xp_star",
        "Δ*_Xp",
        "what more clicks would gain, as one head predicts it: IoU of eight clicks − IoU of one",
        lambda evidence: evidence.heads.direct_gaps["prompt"],
        tasks=("prompt",),
        is_dashed=True,
        radar_lines=("gaps_star",),
        gallery="prompt",
    ),
    _of_heads(
        "delta_a_star",
        "Δ*_A",
        "what the best proposal has over the selected one, as one head predicts it: IoU of the "
        "best − IoU of the selected",
        lambda evidence: evidence.direct_task_gap(),
        tasks=("task",),
        is_dashed=True,
        radar_lines=("gaps_star",),
        gallery="task",
    ),
    _of_heads(
        "delta_a_star_known",
        "Δ*_A, best known",
        "Δ*_A, whose head reads the tokens of the best mask instead of the selected one, as in the "
        "authors' code: it knows the ground truth",
        lambda evidence: evidence.direct_task_gap(is_best_known=True),
        tasks=("task",),
        judged="selected",
        knows_truth=True,
    ),
)
"""Measures without heads, then the calibrated SamScore, then the measures of the paper's heads.
Other kinds of heads repeat the latter in ``MEASURES``."""


def _of_kind(measure: Measure, kind: HeadKind) -> Measure:
    """Copy the row of a measure for heads of another kind, with the kind's name and colour."""
    return replace(
        measure,
        name=kind.named(measure.name),
        symbol=measure.symbol + kind.label,
        meaning=f"{measure.meaning}, from the heads `{kind.name}`",
        colour=kind.colour,
        heads=kind.name,
        predicted_iou=measure.predicted_iou and measure.predicted_iou + kind.label,
        radar_lines=tuple(kind.named(name) for name in measure.radar_lines),
    )


MEASURES: Final = (
    *DECLARED,
    *(
        _of_kind(measure, kind)
        for kind in HEAD_KINDS
        if kind.name != PAPER
        for measure in DECLARED
        # Measures that know the ground truth are there for a comparison with the paper.
        if measure.heads == PAPER and not measure.knows_truth
    ),
)
"""Every measure in the order of tables and figures: measures without heads first, then the measures
of each kind of heads."""

BY_NAME: Final[Mapping[str, Measure]] = {measure.name: measure for measure in MEASURES}


def ranked_name(name: str, measure: str) -> str:
    """Add the kind of a measure's heads to a name, such as the name of a task.

    The name stays as it is for a measure without heads or of the paper's heads. The measure must
    not be the isotonic regression, which has no kind of heads.
    """
    heads = BY_NAME[measure].heads
    return KINDS_BY_NAME[heads].named(name) if heads else name


UNTRAINED_MEASURES: Final = tuple(m.name for m in MEASURES if not m.needs_heads)
"""Names of the measures that need no training."""

HEAD_MEASURES: Final = tuple(m.name for m in MEASURES if m.needs_heads)
"""Names of the measures that need training: from heads, and the isotonic regression."""

KNOWS_TRUTH: Final = tuple(m.name for m in MEASURES if m.knows_truth)
"""Names of the measures that know the ground truth, and so are not compared with the others."""

OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    kind.name: tuple(m.name for m in MEASURES if m.heads == kind.name) for kind in HEAD_KINDS
}
"""Names of the measures from each kind of heads."""

TASK_MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    task: tuple(m.name for m in MEASURES if task in m.tasks) for task in TASKS
}
"""For each task, the names of the measures to show: rows of the paper's Tables 1 to 4, and more."""

GALLERY_MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    task: tuple(
        m.name for m in sorted(MEASURES, key=lambda m: not m.needs_heads) if m.gallery == task
    )
    for task in TASKS
}
"""For each task, the names of the measures that rank its gallery; the last needs no heads."""


UNCERTAINTY: Final = "uncertainty_"
"""Prefix of the names of columns that hold a measure of each object."""


def uncertainty_column(measure: str, train_split: str = "") -> str:
    """Name of the column of ``objects.csv`` that holds a measure; larger is more uncertain.

    >>> uncertainty_column("h_std"), uncertainty_column("usam", "shapes_train")
    ('uncertainty_h_std', 'uncertainty_usam@shapes_train')
    """
    name = UNCERTAINTY + measure
    return f"{name}@{train_split}" if train_split else name


def predicted_iou(measure: str, value: Values) -> Values:
    """Predicted IoUs if 1 - the measure is a predicted IoU; otherwise the measure's values."""
    return 1 - value if BY_NAME[measure].predicted_iou else value
