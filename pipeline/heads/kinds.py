"""Kinds of heads, hyperparameters, and head sets: heads of one kind, protocol and token set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipeline.masks import CUT, CUTS
from pipeline.vocabulary import (
    ABLATIONS,
    OWN_ABLATIONS,
    PROTOCOL_TOKENS,
    TREES,
    USED,
    protocol_objectives,
)

CUT_OBJECTIVES: Final = tuple(f"iou_at_{round(100 * cut)}" for cut in CUTS)
"""Objectives of heads that choose masks: the IoU of the judged proposal at each of ``CUTS``, which
the names give in percent."""

OWN_CUT: Final = CUT_OBJECTIVES[CUTS.index(CUT)]
"""Objective that is the IoU of the judged proposal as SAM2 cuts it."""

RANGES: Final = {
    "epochs": (5, 80),
    "batch_size": (16, 256),
    "learning_rate": (1e-4, 1e-1),
    "momentum": (0.1, 0.9),
}
"""Lowest and highest value of each hyperparameter in the search of the stage ``tune``, as in the
paper's appendix. The learning rate is searched on a log scale."""

WEIGHT_DECAY: Final = 0.001
"""Weight decay in the training of the paper's heads; the stage ``tune`` does not search it."""


@dataclass(frozen=True)
class Hyperparameters:
    """Settings by which SGD trains a head; values outside ``RANGES`` are allowed."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float


@dataclass(frozen=True)
class Trial:
    """A trial of the stage ``tune``: hyperparameters, and the validation error of their head."""

    plan: Hyperparameters
    mse: float
    """Mean squared error on the validation rows, after the training."""


@dataclass(frozen=True)
class OneCycle:
    """Settings by which AdamW trains a head, in one cycle of PyTorch's ``OneCycleLR``."""

    epochs: int
    batch_size: int
    learning_rate: float
    """The highest learning rate of the cycle."""
    weight_decay: float


@dataclass(frozen=True)
class Boosting:
    """Settings by which scikit-learn boosts regression trees, on the statistics of the masks."""

    n_trees: int
    n_leaves: int
    """Largest number of leaves of a tree."""
    learning_rate: float
    epochs: int = 1
    """Trees learn from all rows at once: the progress bar counts one epoch."""


@dataclass(frozen=True)
class HeadKind:
    """A kind of heads: its inputs, the width and sharing of layers, and how the heads are trained.

    Also its name, label and colour in results.
    """

    name: str
    """Name of the kind in the params, in paths and in the names of measures."""
    label: str
    """Suffix of the symbols of the kind's measures, such as ``, ours``; empty for the paper's kind.
    """
    meaning: str
    """The difference from other kinds, in one line."""
    colour: str
    """Colour of all measures of the kind. They share it because a plot shows few of them at once.
    """
    inputs: tuple[str, ...]
    """Names of the inputs of a head, keys of ``pipeline.heads.predict.INPUTS``, in their order."""
    is_standardised: bool = False
    """Whether inputs are standardised by their mean and standard deviation over the train rows."""
    hidden: int = 512
    """Width of the two hidden layers of a network."""
    n_members: int = 1
    """Number of networks that are trained from different initial weights and merged into one: the
    logit of a merged head is the mean of their logits."""
    plan: OneCycle | Boosting | None = None
    """Settings of the training; None stands for SGD with the hyperparameters of the stage ``tune``.
    """
    learns_every_prompt: bool = False
    """Whether the heads learn from every prompt set and view of the train cells; otherwise they
    learn from ``center`` in view ``identity`` alone."""
    shares_layers: bool = False
    """Whether the heads of a set are one network: they share the hidden layers, which are trained
    for all objectives together, and each has its own output."""
    learns_every_proposal: bool = False
    """Whether heads of protocol ``selected`` learn from all three proposals, each as if it were the
    selected proposal, and also learn ``CUT_OBJECTIVES``."""

    def named(self, name: str) -> str:
        """Add the kind's name to the name of a measure or of a line of the radar plot.

        Names of the paper's kind stay as they are.

        >>> KINDS_BY_NAME["ours"].named("usam"), KINDS_BY_NAME["paper"].named("usam")
        ('usam_ours', 'usam')
        """
        return f"{name}_{self.name}" if self.label else name


HEAD_KINDS: Final = (
    HeadKind(
        "paper",
        "",
        "as in the paper",
        colour="#ef4444",
        inputs=("tokens",),
    ),
    HeadKind(
        "ours",
        ", ours",
        "chosen among many for protocol `selected`",
        colour="#06b6d4",
        inputs=("tokens", "figures", "image"),
        is_standardised=True,
        hidden=256,
        n_members=3,
        plan=OneCycle(epochs=12, batch_size=128, learning_rate=1e-3, weight_decay=0.05),
        learns_every_prompt=True,
        shares_layers=True,
        learns_every_proposal=True,
    ),
)
"""The table of kinds of heads, the paper's first. ``heads`` in the params lists the kinds to train.
"""

KINDS_BY_NAME: Final[Mapping[str, HeadKind]] = {kind.name: kind for kind in HEAD_KINDS}

PAPER: Final = HEAD_KINDS[0].name

OURS: Final = HEAD_KINDS[1].name

BOOSTED: Final = replace(
    KINDS_BY_NAME[OURS],
    is_standardised=False,
    hidden=0,
    n_members=1,
    plan=Boosting(n_trees=100, n_leaves=31, learning_rate=0.1),
    shares_layers=False,
)
"""The heads `ours` of the ablation ``TREES``: trees that learn from the same rows."""

KINDS: Final = tuple(KINDS_BY_NAME)
"""Names of all kinds of heads."""

ISOTONIC: Final = "isotonic"
"""Name of a rival of the heads: an isotonic regression of the IoU on the SamScore alone."""


@dataclass(frozen=True)
class HeadSet:
    """Identifies a set of heads: the protocol of their targets, and the tokens that they read.

    Also their kind and the seed of their training. A set has a head for each objective.
    """

    protocol: str
    tokens: str
    kind: str = PAPER
    seed: int | None = None
    """Seed of the training, if the params list seeds after the first; None for the first seed."""

    def __str__(self) -> str:
        training = "" if self.seed is None else f"-seed{self.seed}"
        return f"{self.kind}/{self.protocol}/{self.tokens}{training}"

    @property
    def card(self) -> dict[str, str]:
        """Protocol, token set and kind, as entries of the card of a head file."""
        return {"protocol": self.protocol, "tokens": self.tokens, "kind": self.kind}

    @property
    def ablation(self) -> str:
        """What the heads lack, a name of ``ABLATIONS`` or ``OWN_ABLATIONS``; empty for nothing."""
        return self.tokens.partition("_")[2]

    @property
    def of_kind(self) -> HeadKind:
        """The kind of the heads, by which they are trained."""
        return BOOSTED if self.ablation == TREES else KINDS_BY_NAME[self.kind]

    @property
    def learns_every_proposal(self) -> bool:
        """Whether the heads learned from all three proposals, and know the IoU of each of them.

        Heads of protocol ``best`` learned from best masks alone.
        """
        return self.protocol == "selected" and KINDS_BY_NAME[self.kind].learns_every_proposal

    @property
    def chooses_masks(self) -> bool:
        """Whether the heads know the IoU of every proposal at every cut, and choose among them."""
        return self.learns_every_proposal and not self.ablation

    def objectives(self, models: Sequence[str]) -> tuple[str, ...]:
        """Names of the objectives of the set's heads, for models given from small to large."""
        of_protocol = protocol_objectives(self.protocol, models)
        if not self.learns_every_proposal:
            return of_protocol
        # Each objective of trees takes a training of its own, and no measure reads the other cuts.
        cuts = CUT_OBJECTIVES if self.of_kind.shares_layers else (OWN_CUT,)
        return (*of_protocol, *cuts)

    def own_objective(self, model: str) -> str:
        """Name of the objective that is the IoU of the judged mask of ``model``."""
        return OWN_CUT if self.learns_every_proposal else f"iou_{model}"


def head_sets(
    ablations: tuple[str, ...] = (),
    *,
    kinds: tuple[str, ...] = KINDS,
    further_seeds: tuple[int, ...] = (),
) -> tuple[HeadSet, ...]:
    """List the head sets of some kinds: one for each token set of each protocol, and each seed.

    ``PROTOCOL_TOKENS`` has the token sets of each protocol.

    Parameters
    ----------
    ablations
        Names such as ``no_iou``: each of ``ABLATIONS`` adds the sets of protocol ``best`` and the
        paper's kind without that token, each of ``OWN_ABLATIONS`` a set of protocol ``selected``
        and the kind `ours`. They add nothing if ``kinds`` lacks their kind.
    further_seeds
        Seeds in addition to the first, which is always listed, as None. Ablations have the first
        seed alone.
    """
    complete = [
        HeadSet(protocol, tokens, kind, seed)
        for seed in (None, *further_seeds)
        for kind in kinds
        for protocol, token_sets in PROTOCOL_TOKENS.items()
        for tokens in token_sets
    ]
    ablated = [
        HeadSet("best", f"{judged}_{ablation}")
        for ablation in ablations
        for judged in PROTOCOL_TOKENS["best"]
        if PAPER in kinds and ablation in ABLATIONS
    ]
    ablated += [
        HeadSet(USED, f"{USED}_{ablation}", OURS)
        for ablation in ablations
        if OURS in kinds and ablation in OWN_ABLATIONS
    ]
    return (*complete, *ablated)
