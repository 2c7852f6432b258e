"""``docs/heads.md`` and the command that compares ways to make heads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from docs import heads
from docs.blocks import read_block
from docs.candidates import CANDIDATES, OURS, Candidate
from docs.drawn_features import Drawn, Scenes, drawn_features
from docs.heads import COMPARED, SHOWN
from pipeline.auc import correction_auc
from pipeline.heads.inputs import READ
from pipeline.heads.kinds import HeadSet
from pipeline.heads.objectives import ModelFeatures
from pipeline.heads.predict import check_head
from pipeline.result_rows import Interval
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.measures import BY_NAME
from pipeline.vocabulary import MASK_FIGURES, MODELS, TASKS
from tests.fixtures.mask_figures import draw_figures

ROOT = Path(__file__).parents[1]
N_CHANNELS = 4


def draw(seed: int, n: int = 24) -> Drawn:
    rng = np.random.default_rng(seed)
    center, scores = {}, {}
    for model in MODELS:
        iou, sam_score = rng.random((2, n, 2, 3), np.float32)
        scores[model] = ModelFeatures(sam_score, iou)
        center[model] = {
            "iou_token": rng.random((n, N_CHANNELS), np.float32),
            "mask_token": rng.random((n, 4, N_CHANNELS), np.float32),
            "iou": iou[:, 0],
            "sam_score": sam_score[:, 0],
            "object_score": rng.random(n, np.float32),
            **draw_figures((n,), seed),
        }
        assert set(center[model]) == set(READ) >= set(MASK_FIGURES)
    return Drawn(center, scores, np.arange(n) // 3)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page, with scenes that take no model."""
    page = tmp_path / "heads.md"
    page.write_bytes((ROOT / "docs" / "heads.md").read_bytes())

    def drawn(scenes: Scenes, _: Path, advance: Callable[[int], None]) -> Drawn:
        advance(scenes.n)
        return draw(scenes.seed)

    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(heads, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(heads, "PAGE", page)
    monkeypatch.setattr(heads, "N_RESAMPLES", 20)
    monkeypatch.setattr(heads, "drawn_features", drawn)
    return page


def test_the_command_writes_a_row_for_every_candidate_and_goes_on_where_it_was(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads.main()
    block = read_block(page, "tried")
    margins = block.split("The same less that of the paper's heads:")[0]
    assert [line.split(" | ")[0].strip("| ") for line in margins.splitlines()[4:-1]] == [
        CANDIDATES[name].words for name in COMPARED["selected"]
    ]
    kept = {path.name for path in (page.parent / "kept").iterdir()}
    assert kept == {f"{protocol}-{n}.npz" for protocol, names in COMPARED.items() for n in names}

    def trained(*_: object) -> None:
        raise AssertionError("heads must not be trained again")

    monkeypatch.setattr(Candidate, "train", trained)
    heads.main()
    assert read_block(page, "tried") == block


def test_the_page_has_the_candidates_and_scenes_of_the_command() -> None:
    text = (ROOT / "docs" / "heads.md").read_text("utf-8")
    for candidate in CANDIDATES.values():
        assert f"| {candidate.words} |" in text
    for scenes in heads.JUDGING:
        assert f"generator seed {scenes.seed}: " in text
        assert f"of {scenes.n} scenes" in text
    for fact in (OURS.hidden, OURS.plan.epochs if OURS.plan else None):
        assert str(fact) in text


@pytest.mark.parametrize("name", CANDIDATES)
def test_heads_of_a_candidate_are_heads(name: str) -> None:
    drawn, head_set = draw(0), HeadSet("selected", "selected")
    candidate = CANDIDATES[name]
    members = candidate.train(drawn, head_set)
    assert len(members) == candidate.n_members
    width = candidate.inputs(drawn.center["tiny"], "selected").shape[1]
    for heads_of in members:
        assert set(heads_of) == set(head_set.objectives)
        for objective, weights in heads_of.items():
            check_head(objective, weights)
            assert weights["layers.0.weight"].shape[1] == width


def test_a_relative_auc_is_that_of_the_objects_then_of_resamples() -> None:
    rng = np.random.default_rng(0)
    iou, corrected, uncertainty = rng.random((3, 30))
    resamples = resample_groups(np.arange(30), 5, 0)
    found = heads._relative(corrected - iou, uncertainty, resamples)
    assert found.shape == (6,)
    assert found[0] == pytest.approx(correction_auc(iou, corrected, uncertainty).relative)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.03, "**2.0 (1.0 to 3.0)**"),
        (-0.01, 0.03, "2.0 (−1.0 to 3.0)"),
        (-0.03, -0.01, "*2.0 (−3.0 to −1.0)*"),
    ],
)
def test_a_cell_is_marked_where_its_interval_is_on_one_side(
    low: float, high: float, expected: str
) -> None:
    assert heads._cell(0.02, Interval(low, high)) == expected


def test_measures_of_all_tasks_are_shown() -> None:
    assert {task for task, _ in SHOWN} == set(TASKS)
    assert [BY_NAME[name].symbol for _, name in SHOWN] == [
        *("Δ_Θ", "Δ*_Θ", "Δ_Xp", "Δ*_Xp", "Δ_A", "Δ*_A", "1 − USAM")
    ]


def test_scenes_are_extracted_once_and_kept(tmp_path: Path) -> None:
    scenes = Scenes(7, "val", 2)
    done: list[int] = []
    first = drawn_features(scenes, tmp_path, done.append)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    again = drawn_features(scenes, tmp_path, done.append)
    assert file.stat().st_mtime_ns == before
    assert done == [2, 2]
    for model in MODELS:
        for name in READ:
            np.testing.assert_array_equal(first.center[model][name], again.center[model][name])
        assert first.scores[model].iou.shape == (len(first.group), 2, 3)
    assert set(first.group) == {0, 1}
