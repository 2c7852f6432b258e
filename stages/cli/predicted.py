"""What a predictor says of a prompt, as values for JSON and as lines for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.predictor.advice import KEEP
from stages.cli.columns import aligned
from stages.predictor.results import prompt_values, proposal_values
from storage.rle import encode_rle

if TYPE_CHECKING:
    from pipeline.predictor import BayesianEntropies, Uncertainty

GAINS: Final = {
    "model": "the large model instead of the tiny one",
    "prompt": "eight clicks instead of one",
    "task": "the best proposal instead of this one",
}
"""Sources of uncertainty, as the gains that would remove them."""


def values_told(found: "Uncertainty") -> dict[str, Any]:
    """Everything but the arrays of pixels; masks as COCO's compressed RLE."""
    return {
        **prompt_values(found),
        "proposals": [_proposal(found, k) for k in range(len(found.masks))],
    }


def _proposal(found: "Uncertainty", k: int) -> dict[str, Any]:
    mask = found.masks[k]
    return {
        **proposal_values(found, k),
        "area_px": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": encode_rle(mask)},
    }


def lines_told(found: "Uncertainty") -> str:
    """The proposals, what corrections would gain, and the advice."""
    rows: list[tuple[str, ...]] = [("proposal", "area", "SamScore", "expected IoU", "H_Std", "")]
    for k, mask in enumerate(found.masks):
        numbers = found.sam_score[k], found.expected_iou.own[k], found.h_std[k]
        mark = "selected" if k == found.selected else ""
        rows.append((str(k), f"{mask.mean():.1%}", *(f"{n:.2f}" for n in numbers), mark))
    gains: list[tuple[str, ...]] = [("expected gain of the selected proposal in IoU", "Δ", "Δ*")]
    for source, words in GAINS.items():
        both = (getattr(part, source)[found.selected] for part in (found.gap, found.direct_gap))
        gains.append((words, *(f"{gain:+z.2f}" for gain in both)))
    parts = [
        aligned(rows, right=range(5)),
        aligned(gains, right=(1, 2)),
        f"H_A {found.h_a:.2f} bits. {_advice(found)}",
    ]
    if found.is_kept is not None:
        verdict = "keep" if found.is_kept else "do not keep"
        parts.append(f"Gate in the heads' card: {verdict} the mask.")
    if found.caution:
        parts.append(f"Caution: {found.caution}.")
    return "\n\n".join(parts)


def _advice(found: "Uncertainty") -> str:
    advice, own = found.advice, found.expected_iou.own[found.selected]
    if advice.correction == KEEP:
        return f"Advice: {advice.words}."
    which = f", number {found.alternative}" if advice.correction == "task" else ""
    change = f"expected IoU {own:.2f} -> {advice.expected_iou:.2f}"
    return f"Advice: {advice.words}{which} ({change})."


def bayesian_values(found: "BayesianEntropies", seconds: Mapping[str, float]) -> dict[str, Any]:
    """Entropies in bits, the clicks that were drawn, and what all took."""
    return {
        "h_t": found.h_t,
        "h_xp": found.h_xp,
        "h_theta": found.h_theta,
        "clicks": found.clicks.tolist(),
        **vars(found.cost),
        "seconds": seconds["bayesian"],
        "seconds_of_one_pass": seconds["one_pass"],
    }


def bayesian_lines(values: Mapping[str, Any]) -> str:
    """The same in words."""
    names = {"h_t": "H_T (views)", "h_xp": "H_Xp (clicks)", "h_theta": "H_Θ (models)"}
    told = [
        f"{words} {values[name]:.2f}" for name, words in names.items() if values[name] is not None
    ]
    return (
        f"{', '.join(told)} bits.\n"
        f"They took {values['n_encodes']} more encodings, {values['n_decodes']} decodings and "
        f"{values['seconds']:.2f} s; all above took one of each and "
        f"{values['seconds_of_one_pass']:.2f} s."
    )


def everything_lines(records: Sequence[Mapping[str, Any]], size_px: tuple[int, int]) -> str:
    """A row for each mask."""
    if not records:
        return "No masks: a lower --min-score or --min-stability keeps more."
    height, width = size_px
    rows: list[tuple[str, ...]] = [
        ("mask", "area", "SamScore", "expected IoU", "Δ model", "Δ prompt", "Δ task", "advice")
    ]
    for i, one in enumerate(records):
        scores = one["predicted_iou"], one["expected_iou"]["own"]
        rows.append(
            (
                str(i),
                f"{one['area'] / (height * width):.1%}",
                *(f"{score:.2f}" for score in scores),
                *(f"{one['gap'][source]:+z.2f}" for source in GAINS),
                one["advice"]["words"],
            )
        )
    return aligned(rows, right=range(7))
