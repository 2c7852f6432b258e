"""The measures of a model's judged proposals."""

from pipeline.scoring.evidence import Evidence, Heads, ModelScores, Values
from pipeline.scoring.measures import MEASURES, Measure


def untrained_measures(seen: Evidence) -> dict[str, Values]:
    """Measures without heads that are shown for the judged proposal.

    Raises
    ------
    ValueError
        If something that a measure is computed from is missing.
    """
    return {m.name: m.compute(seen) for m in MEASURES if not m.needs_heads and _is_of(m, seen)}


def head_measures(seen: Evidence) -> dict[str, Values]:
    """``HEAD_MEASURES`` in double precision.

    Raises
    ------
    ValueError
        If a head is missing.
    """
    return {m.name: m.compute(seen) for m in MEASURES if m.needs_heads and _is_of(m, seen)}


def model_measures(
    scores: ModelScores, model: str, *, protocol: str, judged: str
) -> dict[tuple[str, str], Values]:
    """Every measure of a model's judged proposals by (train split, name).

    The heads are those of the protocol that read the tokens of the judged proposal; the train
    split of measures without heads is ``""``.

    Raises
    ------
    ValueError
        If an entropy or a head is missing.
    """
    found = every_measure(scores, model, protocol=protocol, judged=judged)
    return {
        (train_split, name): value
        for (train_split, tokens, name), value in found.items()
        if tokens in {"", judged}
    }


def every_measure(
    scores: ModelScores, model: str, *, protocol: str, judged: str
) -> dict[tuple[str, str, str], Values]:
    """Like ``model_measures``, but with heads of all token sets, by (train split, tokens, name).

    Heads that read the tokens of a proposal other than the judged one are left out: they would
    know what the other measures do not.
    """
    untrained = untrained_measures(scores.evidence(model, judged))
    found = {("", "", name): value for name, value in untrained.items()}
    for head_set, predictions in scores.predictions.items():
        if head_set.protocol != protocol or not head_set.tokens.startswith(judged):
            continue
        for train_split, by_objective in predictions.items():
            seen = scores.evidence(model, judged, Heads(protocol, by_objective))
            found |= {
                (train_split, head_set.tokens, name): value
                for name, value in head_measures(seen).items()
            }
    return found


def _is_of(measure: Measure, seen: Evidence) -> bool:
    return not measure.judged or measure.judged == seen.judged
