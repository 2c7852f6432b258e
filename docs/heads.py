"""Compares ways to make heads, on drawn scenes that no eval split has: ``python -m docs.heads``.

Writes  the part of ``docs/heads.md`` between ``<!-- tried -->`` and ``<!-- /tried -->``;
        ``cache/work/tried``, from which an interrupted run goes on. It takes no account of edits:
        remove the folder after one.

It takes some 20 minutes on two cores, most of them for the features of the scenes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from docs.blocks import replace_block
from docs.candidates import CANDIDATES, Candidate, WeightsByObjective
from docs.drawn_features import Drawn, Scenes, drawn_features
from pipeline.heads.kinds import HeadSet
from pipeline.heads.predict import predict
from pipeline.result_rows import Interval
from pipeline.scoring.bootstrap import (
    Resamples,
    each_once,
    interval,
    resample_groups,
    resampled_areas,
)
from pipeline.scoring.evidence import Evidence, Heads, ModelScores, ProposalScores
from pipeline.scoring.measures import BY_NAME, OF_KIND
from pipeline.scoring.tasks import default_corrections, ious_of, judged_proposal
from pipeline.vocabulary import MODELS, TRAIN_PROMPTS
from stages.page.labels import measure_label
from stages.page.numbers import number
from stages.shell.progress import progress
from storage.folders import whole_file

FOLDER: Final = Path("cache") / "work" / "tried"
PAGE: Final = Path("docs") / "heads.md"

LEARNED: Final = Scenes(1, "train", 240)
"""The scenes of ``shapes_train``, with clicks of their own."""

JUDGING: Final = (Scenes(101, "val", 240), Scenes(102, "val", 240))
"""Scenes to choose on, and scenes to see whether the choice holds."""

COMPARED: Final = {"selected": tuple(CANDIDATES), "best": ("paper", "ours")}
"""Candidates by protocol."""

SHOWN: Final = tuple(
    (task, name)
    for task in ("model", "prompt", "task", "segmentation")
    for name in OF_KIND["paper"]
    if task in BY_NAME[name].tasks and BY_NAME[name].radar_lines
)
"""The heads' own measure of each task, from two heads and from one."""

N_RESAMPLES: Final = 1000

Relative = Mapping[str, np.ndarray]
"""Relative AUC of 1 - SamScore and of every measure, a row a pair of ``SHOWN``: of the objects
themselves, then of each resample."""


def main() -> None:
    """Draw, train, compare, and write the tables."""
    n_scenes = LEARNED.n + sum(scenes.n for scenes in JUDGING)
    with progress("drawn scenes", n_scenes, "scenes") as advance:
        learned = drawn_features(LEARNED, FOLDER, advance)
        judging = {scenes: drawn_features(scenes, FOLDER, advance) for scenes in JUDGING}
    found: dict[tuple[str, str], dict[Scenes, Relative]] = {}
    n_candidates = sum(map(len, COMPARED.values()))
    with progress("candidates", n_candidates, "candidates") as advance:
        for protocol, names in COMPARED.items():
            for name in names:
                found[protocol, name] = _kept(protocol, name, learned, judging)
                advance(1)
    counts = {scenes: (scenes.n, len(drawn.group)) for scenes, drawn in judging.items()}
    replace_block(PAGE, "tried", "\n\n".join(_blocks(found, counts)))


def _kept(
    protocol: str, name: str, learned: Drawn, judging: Mapping[Scenes, Drawn]
) -> dict[Scenes, Relative]:
    """Results of a candidate, computed unless they are in the folder."""
    path = FOLDER / f"{protocol}-{name}.npz"
    if not path.exists():
        rows = _compare(CANDIDATES[name], protocol, learned, judging)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **rows)
    with np.load(path) as stored:
        kept = dict(stored)
    return {
        scenes: {part: kept[f"{scenes}/{part}"] for part in ("baseline", "heads")}
        for scenes in judging
    }


def _compare(
    candidate: Candidate, protocol: str, learned: Drawn, judging: Mapping[Scenes, Drawn]
) -> dict[str, np.ndarray]:
    tokens = {judged_proposal(protocol, task) for task, _ in SHOWN}
    trained = {one: candidate.train(learned, HeadSet(protocol, one)) for one in sorted(tokens)}
    rows: dict[str, np.ndarray] = {}
    for scenes, drawn in judging.items():
        resamples = resample_groups(drawn.group, N_RESAMPLES, 0)
        both = [
            [
                _relative(gain, uncertainty, resamples)
                for uncertainty in (1 - seen.sam_score(), BY_NAME[name].compute(seen))
            ]
            for name, gain, seen in _asked(candidate, protocol, trained, drawn)
        ]
        baseline, heads = np.array(both).swapaxes(0, 1)
        rows |= {f"{scenes}/baseline": baseline, f"{scenes}/heads": heads}
    return rows


def _asked(
    candidate: Candidate,
    protocol: str,
    trained: Mapping[str, Sequence[WeightsByObjective]],
    drawn: Drawn,
) -> Iterator[tuple[str, np.ndarray, Evidence]]:
    """Every measure of ``SHOWN``, with the gains that it should predict and what it is made of."""
    scores = {model: ModelScores(_proposals(drawn, model), {}, {}, {}) for model in MODELS}
    corrections = {
        task: (model, correction.gain)
        for task, model, correction in default_corrections(ious_of(scores), protocol)
    }
    for task, name in SHOWN:
        model, gain = corrections[task]
        judged = judged_proposal(protocol, task)
        inputs = candidate.inputs(drawn.center[model], judged)
        members = [predict(heads, inputs) for heads in trained[judged]]
        mean = {key: np.mean([one[key] for one in members], axis=0) for key in members[0]}
        seen = Evidence(model, judged, scores[model].proposals, {}, {}, Heads(protocol, mean))
        yield name, gain, seen


def _proposals(drawn: Drawn, model: str) -> ProposalScores:
    one, all_clicks = (TRAIN_PROMPTS.index(name) for name in ("center", "refined"))
    found = drawn.scores[model]
    return ProposalScores(
        iou=found.iou[:, one],
        sam_score=found.sam_score[:, one],
        refined_iou=found.iou[:, all_clicks],
        refined_sam_score=found.sam_score[:, all_clicks],
    )


def _relative(gain: np.ndarray, uncertainty: np.ndarray, resamples: Resamples) -> np.ndarray:
    """Relative AUC of the objects themselves, then of each resample."""
    own, oracle, worst = (
        np.concatenate(
            [
                resampled_areas(gain[:, np.newaxis], order, draws)[:, 0]
                for draws in (each_once(len(gain)), resamples)
            ]
        )
        for order in (uncertainty, gain, -gain)
    )
    relative: np.ndarray = (own - worst) / (oracle - worst)
    return relative


def _blocks(
    found: Mapping[tuple[str, str], Mapping[Scenes, Relative]],
    counts: Mapping[Scenes, tuple[int, int]],
) -> Iterator[str]:
    words = {"selected": "selected masks", "best": "best masks"}
    for protocol, names in COMPARED.items():
        for scenes, (n_images, n_objects) in counts.items():
            where = (
                f"Protocol `{protocol}` ({words[protocol]}), generator seed {scenes.seed}: "
                f"{n_objects:,} objects of {n_images} scenes."
            )
            own = {name: found[protocol, name][scenes] for name in names}
            over_score = {
                name: relative["heads"] - relative["baseline"] for name, relative in own.items()
            }
            yield f"{where} Margin over 1 − SamScore of the same mask, in points:"
            yield _table(over_score)
            over_paper = {
                name: relative["heads"] - own["paper"]["heads"]
                for name, relative in own.items()
                if name != "paper"
            }
            yield "The same less that of the paper's heads:"
            yield _table(over_paper)


def _table(rows: Mapping[str, np.ndarray]) -> str:
    header = ["heads", *(measure_label(name).replace("*", r"\*") for _, name in SHOWN)]
    lines = [header, ["---"] * len(header)]
    for name, differences in rows.items():
        cells = [_cell(float(row[0]), interval(row[1:])) for row in differences]
        lines.append([CANDIDATES[name].words, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float, bounds: Interval) -> str:
    low, high = (number(100 * end) for end in (bounds.low, bounds.high))
    text = f"{number(100 * value)} ({low} to {high})"
    if bounds.low > 0:
        return f"**{text}**"
    return f"*{text}*" if bounds.high < 0 else text


if __name__ == "__main__":
    main()
