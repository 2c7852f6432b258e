"""Heads applied to every proposal of a prompt, not only to the one they learned from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from pipeline.extraction.predictions import arrays_for_heads
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import HeadWeights, check_head, predict, set_inputs
from pipeline.sam.model import Decoded
from pipeline.scoring.evidence import Evidence, Heads, ProposalScores
from pipeline.scoring.measures import BY_NAME
from pipeline.vocabulary import MODELS, N_PROPOSALS, PROTOCOL_OBJECTIVES

ByProposal = Float64[np.ndarray, "*prompt proposal"]
"""A number for each proposal, in decoder order."""


@dataclass(frozen=True)
class ProposalHeads:
    """One head set, and the model whose proposals it is to judge.

    Raises
    ------
    ValueError
        If the model is unknown, or a head is missing or no MLP.
    """

    model: str
    head_set: HeadSet
    weights: Mapping[str, HeadWeights]
    """By objective."""
    first_mask_token: int = 1
    """Mask token of proposal 0; the heads that the paper's authors publish pair it with 0."""
    least_iou: float | None = None
    """Expected IoU from which a calibrated promise lets the selected mask be kept; None without."""

    def __post_init__(self) -> None:
        """Check that there is all that predictions need."""
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got {self.model!r}")
        needed = PROTOCOL_OBJECTIVES[self.head_set.protocol]
        missing = [name for name in needed if name not in self.weights]
        if missing:
            raise ValueError(f"heads of {self.head_set} must have {missing[0]}, got none")
        for objective, head in self.weights.items():
            check_head(objective, head)


@dataclass(frozen=True)
class ExpectedIou:
    """IoUs that the heads expect, from the tokens of each proposal.

    That of ``own`` is about the proposal itself; the others are about what another model or
    prompt would give for the same object.
    """

    own: ByProposal
    """USAM: IoU of the proposal."""
    tiny: ByProposal
    small: ByProposal
    base_plus: ByProposal
    large: ByProposal
    refined: ByProposal
    """IoU after eight clicks instead of one."""
    best: ByProposal
    """IoU of the best of the three proposals."""
    selected: ByProposal
    """IoU of the proposal with the highest SamScore."""


@dataclass(frozen=True)
class Gaps:
    """What a correction would gain in IoU, by source of uncertainty, for each proposal."""

    model: ByProposal
    """The large model instead of the tiny one."""
    prompt: ByProposal
    """Eight clicks instead of one."""
    task: ByProposal
    """The best proposal instead of the selected one."""


@dataclass(frozen=True)
class Judgement:
    """Predictions of the heads for each proposal."""

    expected_iou: ExpectedIou
    gap: Gaps
    """Δ: differences of two expected IoUs."""
    direct_gap: Gaps
    """Δ*: from heads that learned the gap itself."""

    def of(self, prompt: int) -> "Judgement":
        """The same of one prompt set."""
        return Judgement(
            ExpectedIou(**{name: iou[prompt] for name, iou in vars(self.expected_iou).items()}),
            Gaps(**{name: gap[prompt] for name, gap in vars(self.gap).items()}),
            Gaps(**{name: gap[prompt] for name, gap in vars(self.direct_gap).items()}),
        )


def judge_proposals(heads: ProposalHeads, decoded: Decoded) -> Judgement:
    """Apply every head to every proposal of every prompt set."""
    sam_score = decoded.sam_score.cpu().numpy()
    return judge_rows(heads, proposal_inputs(heads, decoded), sam_score)


def judge_rows(
    heads: ProposalHeads,
    inputs: Float32[np.ndarray, "row input"],
    sam_score: Float32[np.ndarray, "*prompt proposal"],
) -> Judgement:
    """Apply every head to some proposals.

    Parameters
    ----------
    inputs
        A row of ``proposal_inputs`` for each.
    sam_score
        Their SamScores; the judgement has their shape.
    """
    evidence = _evidence(heads, inputs, sam_score.reshape(-1, 1))

    def shaped(values: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, "*prompt proposal"]:
        return values.reshape(sam_score.shape)

    def gaps(*measures: str) -> Gaps:
        return Gaps(*(shaped(BY_NAME[name].compute(evidence)) for name in measures))

    expected = ExpectedIou(
        own=shaped(evidence.own_iou()),
        **{model: shaped(evidence.head(f"iou_{model}")) for model in MODELS},
        refined=shaped(evidence.head("iou_refined")),
        best=shaped(evidence.best_iou()),
        selected=shaped(evidence.selected_iou()),
    )
    return Judgement(
        expected,
        gaps("delta_theta", "delta_xp", "delta_a"),
        gaps("delta_theta_star", "delta_xp_star", "delta_a_star"),
    )


def _evidence(
    heads: ProposalHeads,
    inputs: Float32[np.ndarray, "row input"],
    sam_score: Float32[np.ndarray, "row 1"],
) -> Evidence:
    """The predictions of the heads as measures read them: a row for each proposal."""
    unknown = np.full_like(sam_score, np.nan)
    return Evidence(
        heads.model,
        "selected",
        ProposalScores(unknown, sam_score, unknown, unknown),
        entropies={},
        agreements={},
        heads=Heads(heads.head_set.protocol, predict(heads.weights, inputs)),
    )


def proposal_inputs(heads: ProposalHeads, decoded: Decoded) -> Float32[np.ndarray, "row input"]:
    """What the heads read of each proposal, as if that were the judged one."""
    head_set = heads.head_set
    read = arrays_for_heads(decoded, KINDS_BY_NAME[head_set.kind])
    if heads.first_mask_token != 1:
        # All else pairs proposal k with mask token k + 1.
        read["mask_token"] = np.roll(read["mask_token"], 1 - heads.first_mask_token, axis=1)
    every = np.tile(np.arange(N_PROPOSALS), len(decoded.sam_score))
    repeated = {name: np.repeat(values, N_PROPOSALS, axis=0) for name, values in read.items()}
    return set_inputs(repeated, head_set, judged=every)
