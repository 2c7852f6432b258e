"""What a predictor says of a prompt, as values for JSON and as lines for people."""

from typing import Any, Final

from pipeline.predictor import Uncertainty
from pipeline.predictor.advice import KEEP
from stages.cli.columns import aligned
from stages.predictor.told import gains_told
from storage.rle import encode_rle

GAINS: Final = {
    "model": "the large model instead of the tiny one",
    "prompt": "eight clicks instead of one",
    "task": "the best proposal instead of this one",
}
"""Sources of uncertainty, as the gains that would remove them."""


def values_told(found: Uncertainty) -> dict[str, Any]:
    """Everything but the arrays of pixels; masks as COCO's compressed RLE."""
    return {
        "selected": found.selected,
        "advice": {"words": found.advice.words, **vars(found.advice)},
        "is_kept": found.is_kept,
        "caution": found.caution or None,
        "h_a": found.h_a,
        "proposals": [_proposal(found, k) for k in range(len(found.masks))],
    }


def _proposal(found: Uncertainty, k: int) -> dict[str, Any]:
    mask = found.masks[k]
    return {
        "sam_score": float(found.sam_score[k]),
        "h_std": float(found.h_std[k]),
        "area_px": int(mask.sum()),
        **gains_told(found, k),
        "segmentation": {"size": list(mask.shape), "counts": encode_rle(mask)},
    }


def lines_told(found: Uncertainty) -> str:
    """The proposals, what corrections would gain, and the advice."""
    rows: list[tuple[str, ...]] = [("proposal", "area", "SamScore", "expected IoU", "H_Std", "")]
    for k, mask in enumerate(found.masks):
        numbers = found.sam_score[k], found.expected_iou.own[k], found.h_std[k]
        mark = "selected" if k == found.selected else ""
        rows.append((str(k), f"{mask.mean():.1%}", *(f"{n:.2f}" for n in numbers), mark))
    gains: list[tuple[str, ...]] = [("expected gain of the selected proposal in IoU", "Δ", "Δ*")]
    for source, words in GAINS.items():
        both = (getattr(part, source)[found.selected] for part in (found.gap, found.direct_gap))
        gains.append((words, *(f"{gain:+.2f}" for gain in both)))
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


def _advice(found: Uncertainty) -> str:
    advice, own = found.advice, found.expected_iou.own[found.selected]
    if advice.correction == KEEP:
        return f"Advice: {advice.words}."
    which = f", number {found.alternative}" if advice.correction == "task" else ""
    change = f"expected IoU {own:.2f} -> {advice.expected_iou:.2f}"
    return f"Advice: {advice.words}{which} ({change})."
