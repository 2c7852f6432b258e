"""Head sets: nine heads that learned the targets of one protocol from one token set."""

from dataclasses import dataclass

from pipeline.vocabulary import PROTOCOL_OBJECTIVES, PROTOCOL_TOKENS


@dataclass(frozen=True)
class HeadSet:
    """Which heads: the protocol whose targets they learned, and the tokens that they read."""

    protocol: str
    tokens: str

    def __str__(self) -> str:
        return f"{self.protocol}/{self.tokens}"

    @property
    def objectives(self) -> tuple[str, ...]:
        """Objectives of its nine heads."""
        return PROTOCOL_OBJECTIVES[self.protocol]


def head_sets(ablations: tuple[str, ...] = ()) -> tuple[HeadSet, ...]:
    """Every head set that the protocols need, then the ablations of the paper's protocol."""
    own = [HeadSet(protocol, one) for protocol, sets in PROTOCOL_TOKENS.items() for one in sets]
    ablated = [f"{judged}_{lack}" for lack in ablations for judged in PROTOCOL_TOKENS["best"]]
    return (*own, *(HeadSet("best", tokens) for tokens in ablated))
