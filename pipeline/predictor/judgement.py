"""Judges the proposals of a prompt: expected IoUs, gains of corrections, and advice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from pipeline.heads.scope import Permission
from pipeline.predictor.advice import KEEP, NONE, Advice, Costs, advise
from pipeline.predictor.proposal_heads import ProposalHeads
from pipeline.scoring.evidence import HeadPredictions
from pipeline.vocabulary import MODEL_GAP

ByProposal = Float64[np.ndarray, " proposal"]
"""A number for each proposal, in decoder order."""


@dataclass(frozen=True)
class ExpectedIou:
    """IoUs that the heads predict from the tokens of each proposal.

    ``own`` is the IoU of the proposal itself. The others are the IoUs of masks that each model,
    more clicks or another choice of proposal would give for the same object.
    """

    own: ByProposal
    """USAM: IoU of the proposal."""
    models: Mapping[str, ByProposal]
    """IoU of each model's mask, from small to large; that of the proposal's own model is ``own``.
    """
    refined: ByProposal
    """IoU after eight clicks instead of one."""
    best: ByProposal
    """IoU of the best of the three proposals."""
    selected: ByProposal
    """IoU of the proposal with the highest SamScore."""

    @property
    def largest(self) -> ByProposal:
        """Expected IoU of the largest model's mask, from the tokens of each proposal."""
        return list(self.models.values())[-1]

    @property
    def by_name(self) -> dict[str, ByProposal]:
        """All expected IoUs: ``own``, each model's name, ``refined``, ``best`` and ``selected``."""
        return {
            "own": self.own,
            **self.models,
            "refined": self.refined,
            "best": self.best,
            "selected": self.selected,
        }


@dataclass(frozen=True)
class Gaps:
    """Predicted gains in IoU of three corrections, for each proposal."""

    model: ByProposal | None
    """Gain of the largest model over the smallest model; None if the family has one model."""
    prompt: ByProposal
    """Gain of eight clicks over one click."""
    task: ByProposal | None
    """Gain of the best proposal over the selected one; None for heads of protocol ``best``."""

    @property
    def by_name(self) -> dict[str, ByProposal]:
        """Gains that are not None, by the correction: ``model``, ``prompt`` or ``task``."""
        return {name: gap for name, gap in vars(self).items() if gap is not None}


@dataclass(frozen=True)
class Judgement:
    """Predictions of all heads for each proposal: expected IoUs, and gains of corrections."""

    expected_iou: ExpectedIou
    gap: Gaps
    """Δ: gains as differences of two expected IoUs."""
    direct_gap: Gaps
    """Δ*: gains as predicted by heads that learned the gain itself."""

    def values_of(self, proposal: int) -> dict[str, dict[str, float]]:
        """Expected IoUs and gaps that heads predict for one proposal, for JSON.

        The keys are ``expected_iou``, ``gap`` and ``direct_gap``, then the names of ``by_name``.
        """
        return {
            kind: {name: float(values[proposal]) for name, values in predictions.by_name.items()}
            for kind, predictions in vars(self).items()
        }


def judge(
    heads: ProposalHeads, predicted: Mapping[str, Float32[np.ndarray, " proposal"]]
) -> Judgement:
    """Compute expected IoUs and gaps of a prompt's proposals from the predictions of every head.

    ``predicted`` has the predictions by objective, from ``predict_proposals``.
    """
    predictions = HeadPredictions(heads.model, heads.models, heads.head_set, predicted)
    has_larger = len(heads.models) > 1
    compares_proposals = heads.scope.compares_proposals
    own = predictions.own_iou()
    return Judgement(
        ExpectedIou(
            own=own,
            models={
                model: own if model == heads.model else predictions.predicted(f"iou_{model}")
                for model in heads.models
            },
            refined=predictions.predicted("iou_refined"),
            best=predictions.best_iou(),
            selected=predictions.selected_iou(),
        ),
        Gaps(
            predictions.model_gap() if has_larger else None,
            predictions.prompt_gap(),
            predictions.task_gap() if compares_proposals else None,
        ),
        Gaps(
            predictions.direct_gap(MODEL_GAP) if has_larger else None,
            predictions.direct_gap("prompt_gap"),
            predictions.direct_gap("task_gap") if compares_proposals else None,
        ),
    )


def decide(
    judgement: Judgement,
    proposal: int,
    heads: ProposalHeads,
    costs: Costs,
    *,
    permission: Permission,
    chosen_iou: float | None = None,
) -> tuple[Advice, bool | None]:
    """Advise on a proposal as far as permitted, and tell whether a guarantee keeps it.

    Parameters
    ----------
    proposal
        Index of the proposal, in decoder order.
    permission
        Statements that are allowed about the prompt's masks.
    chosen_iou
        Expected IoU of the chosen mask; None if the proposal is chosen, or if none may be.

    Returns
    -------
    The advice, with the correction ``NONE`` where no advice is permitted, or where heads that
    cannot compare proposals advise to keep one, which may be the worst of three; and whether a
    guarantee keeps the proposal, None without a guarantee.
    """
    own_iou = float(judgement.expected_iou.own[proposal])
    advice = advise_on(judgement, proposal, heads.model, costs, chosen_iou)
    is_withheld = not permission.advises or (
        advice.correction == KEEP and not permission.compares_proposals
    )
    shown = (
        Advice(NONE, 0.0, own_iou, {})
        if is_withheld
        else replace(advice, holds_for=permission.holds_for)
    )
    return shown, permission.keeps(own_iou)


def advise_on(
    judgement: Judgement,
    proposal: int,
    model: str,
    costs: Costs,
    chosen_iou: float | None = None,
) -> Advice:
    """Advise a correction of a proposal from the predictions about it.

    ``model`` made the proposals. ``chosen_iou`` is the expected IoU of a chosen mask that may be
    advised; None if none may be.

    Notes
    -----
    The direct gap of the model is the gain of the largest model over the smallest. So it is the
    gain for proposals of the smallest model only; for those of other models, the gain is a
    difference of expected IoUs. The largest model gains 0 over itself. A single model has no such
    correction.
    """
    expected, direct_gap = judgement.expected_iou, judgement.direct_gap
    own_iou = expected.own[proposal]
    gains = {"prompt": direct_gap.prompt[proposal]}
    if direct_gap.model is not None:
        is_smallest = model == next(iter(expected.models))
        gain = direct_gap.model[proposal] if is_smallest else expected.largest[proposal] - own_iou
        gains = {"model": gain, **gains}
    if chosen_iou is not None:
        gains["task"] = chosen_iou - own_iou
    return advise(float(own_iou), {name: float(gain) for name, gain in gains.items()}, costs)
