"""Heads asked about each proposal of a prompt, not only about the one they learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64

from pipeline.extraction.figures import arrays_for_heads
from pipeline.heads.inputs import set_inputs
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import N_LAYERS, STANDARD, HeadWeights, check_head, sigmoid
from pipeline.sam.model import Decoded
from pipeline.scoring.evidence import Evidence, Heads, ProposalScores
from pipeline.scoring.measures import BY_NAME
from pipeline.vocabulary import MODELS, N_PROPOSALS, PROTOCOL_OBJECTIVES

Layer = tuple[Float32[np.ndarray, "head _ _"], Float32[np.ndarray, "head 1 _"]]
"""Weights (head, input, output) and biases of a layer of every head."""


@dataclass(frozen=True)
class StackedHeads:
    """The layers of several heads side by side."""

    objectives: tuple[str, ...]
    layers: tuple[Layer, ...]
    standard: tuple[Float32[np.ndarray, "head 1 _"], ...]
    """Mean and standard deviation of every input in training; nothing if they enter as they are."""

    def predict(
        self, inputs: Float32[np.ndarray, "row input"]
    ) -> dict[str, Float32[np.ndarray, " row"]]:
        """What ``pipeline.heads.predict.predict`` returns for these heads."""
        width = self.layers[0][0].shape[1]
        if inputs.shape[1] != width:
            raise ValueError(
                f"inputs of head {self.objectives[0]} must be {width} wide, "
                f"got shape {inputs.shape}"
            )
        hidden = inputs
        if self.standard:
            mean, scale = self.standard
            hidden = (inputs - mean) / scale
        for weight, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0)
        weight, bias = self.layers[-1]
        found = sigmoid(hidden @ weight + bias)[..., 0]
        return dict(zip(self.objectives, found, strict=True))


def stack_heads(heads: Mapping[str, HeadWeights]) -> StackedHeads:
    """Stack heads of one shape.

    Raises
    ------
    ValueError
        If the tensors of a head form no MLP, or heads differ in their shapes.
    """
    for objective, head in heads.items():
        check_head(objective, head)
    first = next(iter(heads))
    shapes = [{name: head[name].shape for name in sorted(head)} for head in heads.values()]
    for objective, own in zip(heads, shapes, strict=True):
        if own != shapes[0]:
            raise ValueError(
                f"head {objective} must be of the shape of head {first}, {shapes[0]}, got {own}"
            )

    def stacked(name: str) -> np.ndarray:
        return np.stack([np.atleast_2d(head[name]) for head in heads.values()])

    layers = [
        # In the order of a product with few rows: the transpose takes seven times as long.
        (
            np.ascontiguousarray(stacked(f"layers.{i}.weight").swapaxes(1, 2)),
            stacked(f"layers.{i}.bias"),
        )
        for i in range(N_LAYERS)
    ]
    standard = tuple(stacked(name) for name in STANDARD) if STANDARD[0] in shapes[0] else ()
    return StackedHeads(tuple(heads), tuple(layers), standard)


ByProposal = Float64[np.ndarray, "*prompt proposal"]
"""A number for each proposal, in decoder order."""


@dataclass(frozen=True)
class ProposalHeads:
    """One head set, and the model whose proposals it is to judge.

    Raises
    ------
    ValueError
        If the model is unknown, a head is missing or no MLP, or heads differ in their shapes.
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
        """Check that there is all that predictions ask for."""
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got {self.model!r}")
        needed = PROTOCOL_OBJECTIVES[self.head_set.protocol]
        missing = [name for name in needed if name not in self.weights]
        if missing:
            raise ValueError(f"heads of {self.head_set} must have {missing[0]}, got none")
        assert self.stacked  # raises if a head is no MLP

    @cached_property
    def stacked(self) -> StackedHeads:
        """The heads as one network."""
        return stack_heads(self.weights)


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
    """What the heads say of each proposal."""

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
    """Ask every head about every proposal of every prompt set."""
    sam_score = decoded.sam_score.cpu().numpy()
    return judge_rows(heads, proposal_inputs(heads, decoded), sam_score)


def judge_rows(
    heads: ProposalHeads,
    inputs: Float32[np.ndarray, "row input"],
    sam_score: Float32[np.ndarray, "*prompt proposal"],
) -> Judgement:
    """Ask every head about some proposals.

    Parameters
    ----------
    inputs
        A row of ``proposal_inputs`` for each.
    sam_score
        Their SamScores; the judgement has their shape.
    """
    seen = _evidence(heads, inputs, sam_score.reshape(-1, 1))

    def shaped(values: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, "*prompt proposal"]:
        return values.reshape(sam_score.shape)

    def gaps(*measures: str) -> Gaps:
        return Gaps(*(shaped(BY_NAME[name].compute(seen)) for name in measures))

    expected = ExpectedIou(
        own=shaped(seen.own_iou()),
        **{model: shaped(seen.head(f"iou_{model}")) for model in MODELS},
        refined=shaped(seen.head("iou_refined")),
        best=shaped(seen.best_iou()),
        selected=shaped(seen.selected_iou()),
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
        heads=Heads(heads.head_set.protocol, heads.stacked.predict(inputs)),
    )


def proposal_inputs(heads: ProposalHeads, decoded: Decoded) -> Float32[np.ndarray, "row input"]:
    """What the heads read of each proposal, as if that were the judged one."""
    head_set = heads.head_set
    seen = arrays_for_heads(decoded, KINDS_BY_NAME[head_set.kind])
    if heads.first_mask_token != 1:
        # All else pairs proposal k with mask token k + 1.
        seen["mask_token"] = np.roll(seen["mask_token"], 1 - heads.first_mask_token, axis=1)
    every = np.tile(np.arange(N_PROPOSALS), len(decoded.sam_score))
    repeated = {name: np.repeat(values, N_PROPOSALS, axis=0) for name, values in seen.items()}
    return set_inputs(repeated, head_set, judged=every)
