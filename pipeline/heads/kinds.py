"""Kinds of heads, their hyperparameters, and head sets: heads of one kind, protocol and tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.vocabulary import PROTOCOL_TOKENS, protocol_objectives

RANGES: Final = {
    "epochs": (5, 80),
    "batch_size": (16, 256),
    "learning_rate": (1e-4, 1e-1),
    "momentum": (0.1, 0.9),
}
"""Search space of the paper's appendix; the learning rate on a log scale."""

WEIGHT_DECAY: Final = 0.001
"""Weight decay of every head; not searched."""


@dataclass(frozen=True)
class Hyperparameters:
    """How one head is trained; values outside ``RANGES`` are allowed."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float


@dataclass(frozen=True)
class Trial:
    """Hyperparameters that were tried, and the mean squared error that they reached."""

    plan: Hyperparameters
    mse: float


@dataclass(frozen=True)
class OneCycle:
    """AdamW with one cycle of the learning rate, as PyTorch's ``OneCycleLR``."""

    epochs: int
    batch_size: int
    learning_rate: float
    """The highest of the cycle."""
    weight_decay: float


@dataclass(frozen=True)
class HeadKind:
    """A way to make heads: what they read, and how they are trained."""

    name: str
    """Name in the params, in paths and in the names of measures."""
    label: str
    """How the symbols of its measures end; the paper's have no such end."""
    meaning: str
    """What tells it from the others, in one line."""
    colour: str
    """Colour of all its measures; a figure shows few of them at once."""
    inputs: tuple[str, ...]
    """What a head reads, names of ``pipeline.heads.predict.PARTS`` in their order."""
    is_standardised: bool = False
    """Whether every input enters less its mean and over its standard deviation in training."""
    hidden: int = 512
    """Width of the two hidden layers."""
    plan: OneCycle | None = None
    """How its heads are trained; None takes SGD with what the stage ``tune`` chose."""
    learns_every_prompt: bool = False
    """Whether its heads learn from every prompt set of train cells, not from ``center`` alone."""

    def named(self, name: str) -> str:
        """Name of a measure, or of a line of the radar, for these heads: the paper's as it is."""
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
        inputs=("tokens", "figures"),
        is_standardised=True,
        hidden=128,
        plan=OneCycle(epochs=12, batch_size=128, learning_rate=1e-3, weight_decay=0.05),
        learns_every_prompt=True,
    ),
)
"""Every kind of heads, the paper's first; ``heads`` in the params names those that are trained."""

KINDS_BY_NAME: Final[Mapping[str, HeadKind]] = {kind.name: kind for kind in HEAD_KINDS}

PAPER: Final = HEAD_KINDS[0].name

KINDS: Final = tuple(KINDS_BY_NAME)
"""Names of all kinds."""

ISOTONIC: Final = "isotonic"
"""Beside the kinds: isotonic regression of the IoU on the SamScore, which reads no token."""


@dataclass(frozen=True)
class HeadSet:
    """Which heads: the protocol whose targets they learned, the tokens they read, their kind."""

    protocol: str
    tokens: str
    kind: str = PAPER
    reads: str = ""
    """In a ladder, the family of the models whose tokens they read; empty for those of all."""

    def __str__(self) -> str:
        return f"{self.protocol}/{self.kind}/{self.tokens_read}"

    @property
    def tokens_read(self) -> str:
        """The token set, and before it whose tokens, unless they are of all models."""
        return f"{self.reads}/{self.tokens}" if self.reads else self.tokens

    @property
    def card(self) -> dict[str, str]:
        """What tells these heads from others, as entries of a card."""
        return {"protocol": self.protocol, "tokens": self.tokens_read, "kind": self.kind}

    def objectives(self, models: Sequence[str]) -> tuple[str, ...]:
        """Objectives of its heads for some models, given from small to large."""
        return protocol_objectives(self.protocol, models)


def head_sets(
    ablations: tuple[str, ...] = (),
    *,
    kinds: tuple[str, ...] = KINDS,
    reads: tuple[str, ...] = ("",),
) -> tuple[HeadSet, ...]:
    """Every head set of some kinds; those without a token are the paper's, of its protocol.

    Parameters
    ----------
    reads
        Whose tokens they read: there are as many sets for each.
    """
    own = [
        HeadSet(protocol, tokens, kind, one)
        for one in reads
        for kind in kinds
        for protocol, sets in PROTOCOL_TOKENS.items()
        for tokens in sets
    ]
    ablated = [
        HeadSet("best", f"{judged}_{lack}", reads=one)
        for one in reads
        for lack in ablations
        for judged in PROTOCOL_TOKENS["best"]
        if PAPER in kinds
    ]
    return (*own, *ablated)
