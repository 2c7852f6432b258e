"""The ways to make heads that ``docs/heads.md`` compares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from docs.drawn_features import Drawn
from pipeline.heads.hyperparameters import Hyperparameters
from pipeline.heads.inputs import Judged, Seen, inputs_of, judged_first, judged_proposals
from pipeline.heads.kinds import HEAD_KINDS, HeadKind, HeadSet, OneCycle
from pipeline.heads.objectives import TrainingSet, training_set
from pipeline.heads.predict import HeadWeights
from pipeline.heads.standard import standard_of
from pipeline.heads.training import Rows, train_heads
from pipeline.seeds import derive_seed
from pipeline.vocabulary import OBJECTIVES

PAPER, OURS = HEAD_KINDS[:2]

TUNED: Final = Hyperparameters(epochs=10, batch_size=64, learning_rate=0.03, momentum=0.9)
"""What the demo's ``tune`` takes without trials."""

WeightsByObjective = Mapping[str, HeadWeights]

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of predictions and targets, a row each."""


@dataclass(frozen=True)
class Candidate:
    """A way to make heads."""

    words: str
    """What it is, in the table."""
    kind: HeadKind
    n_members: int = 1
    """Heads whose predictions are averaged."""
    loss: Loss | None = None
    """None takes the mean squared error, as the stage ``train`` does."""
    reads_all_tokens: bool = False
    """Whether the mask tokens of the other two proposals are read, too."""

    def inputs(self, seen: Seen, tokens: str) -> np.ndarray:
        """What its heads read of some objects."""
        own = inputs_of(seen, self.kind.inputs, tokens)
        if not self.reads_all_tokens:
            return own
        judged = judged_proposals(tokens, iou=seen["iou"], sam_score=seen["sam_score"])
        return np.concatenate([own, _other_tokens(seen, judged)], axis=1)

    def train(self, drawn: Drawn, head_set: HeadSet) -> list[WeightsByObjective]:
        """Heads of each member, by objective."""
        inputs = np.stack([self.inputs(seen, head_set.tokens) for seen in drawn.center.values()])
        data = training_set(inputs, drawn.scores, drawn.group, protocol=head_set.protocol)
        return [self._train(data, head_set, seed) for seed in range(self.n_members)]

    def _train(self, data: TrainingSet, head_set: HeadSet, seed: int) -> WeightsByObjective:
        if self.loss is not None:
            assert self.kind.plan is not None
            return {
                name: train_by(self.loss, data, name, self.kind.plan, seed, self.kind.hidden)
                for name in head_set.objectives
            }
        rows = Rows(np.arange(len(data.group)), np.arange(0))
        plans = dict.fromkeys(head_set.objectives, self.kind.plan or TUNED)
        trained = train_heads(data, rows, plans, seed=seed, kind=self.kind)
        return {name: head.weights for name, head in trained.items()}


def train_by(
    loss: Loss, data: TrainingSet, objective: str, plan: OneCycle, seed: int, hidden: int
) -> HeadWeights:
    """Train one head by any loss, with standardised inputs and AdamW."""
    generator = torch.Generator().manual_seed(derive_seed(seed, objective))
    scale = standard_of(data.inputs, np.arange(len(data.inputs)))
    mean, deviation = scale.values()
    inputs = torch.from_numpy((data.inputs - mean) / deviation)
    targets = torch.from_numpy(data.targets[:, OBJECTIVES.index(objective)].copy())
    layers = [nn.Linear(inputs.shape[1], hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)]
    for layer in layers:
        bound = layer.in_features**-0.5
        for part in (layer.weight, layer.bias):
            nn.init.uniform_(part, -bound, bound, generator=generator)
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.Sigmoid())
    steps = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    n_steps = plan.epochs * -(-len(inputs) // plan.batch_size)
    cycle = OneCycleLR(steps, plan.learning_rate, total_steps=n_steps)
    for _ in range(plan.epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for batch in torch.split(order, plan.batch_size):
            steps.zero_grad()
            loss(network(inputs[batch])[:, 0], targets[batch]).backward()  # type: ignore[no-untyped-call]
            steps.step()
            cycle.step()
    return scale | {
        f"layers.{i}.{part}": getattr(layer, part).detach().numpy().copy()
        for i, layer in enumerate(layers)
        for part in ("weight", "bias")
    }


def absolute_error(found: Tensor, target: Tensor) -> Tensor:
    """The loss whose best prediction is the median."""
    return (found - target).abs().mean()


def ranking_loss(found: Tensor, target: Tensor) -> Tensor:
    """Squared error, and a smooth penalty on pairs in the wrong order, by how much they differ."""
    gap = target[:, None] - target
    wrong = nn.functional.softplus(-STEEPNESS * gap.sign() * (found[:, None] - found)) / STEEPNESS
    return (gap.abs() * wrong).mean() + (found - target).square().mean()


STEEPNESS: Final = 8.0
"""Steepness of the ranking loss: pairs right by more than a fourth cost next to nothing."""


def _other_tokens(seen: Seen, judged: Judged) -> np.ndarray:
    others = judged_first(seen["sam_score"], judged)[:, 1:]
    rows = np.arange(len(judged))
    return np.concatenate([seen["mask_token"][rows, k + 1] for k in others.T], axis=1)


_WIDE = replace(OURS, hidden=PAPER.hidden)

CANDIDATES: Final[Mapping[str, Candidate]] = {
    "paper": Candidate("tokens, as in the paper", PAPER),
    "standardised": Candidate("tokens, standardised", replace(PAPER, is_standardised=True)),
    "adamw": Candidate("tokens, standardised, AdamW", replace(_WIDE, inputs=("tokens",))),
    "figures": Candidate("figures, standardised, AdamW", replace(OURS, inputs=("figures",))),
    "ours": Candidate("**ours**: tokens and figures, standardised, AdamW, 128 wide", OURS),
    "wide": Candidate("ours, 512 wide", _WIDE),
    "all_tokens": Candidate("ours, tokens of all three masks", OURS, reads_all_tokens=True),
    "ensemble": Candidate("ours, mean of five", OURS, n_members=5),
    "median": Candidate("ours, quantile loss (median)", OURS, loss=absolute_error),
    "ranking": Candidate("ours, ranking loss", OURS, loss=ranking_loss),
}
"""Every candidate, the paper's first."""
