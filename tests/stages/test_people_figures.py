"""The scripts whose figures stand in docs/results.md run on a made-up split of several persons."""

from pathlib import Path

import numpy as np
import pytest

from stages.people_segments import read_people
from tests.fixtures import people_heads, people_null
from tests.fixtures.eval_split import SPLITS
from tests.fixtures.mini import MODELS
from tests.fixtures.signatures import open_eval

SPLIT = SPLITS[1]


@pytest.mark.no_cover
def test_the_null_of_the_plan_permutes_disagreement_over_images(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(evaluated)
    people_null.main(SPLIT, 2)
    told = capsys.readouterr().out
    assert told in {f"{SPLIT}: {n} of 2 runs have a sure verdict\n" for n in range(3)}


@pytest.mark.no_cover
def test_heads_that_learn_agreement_have_a_table_beside_their_rivals(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evaluated)
    cells = open_eval(SPLIT, MODELS, ["identity"], with_masks=True)
    clicks = people_heads.Clicks(cells)
    agreement = read_people(cells)["center"].agreement
    np.testing.assert_allclose(clicks.agreement, agreement, rtol=1e-6)
    first, second = people_heads.tables_of("a", clicks, {"b": clicks})
    for name in (*clicks.rivals, *people_heads.LEARNED):
        assert f"| {name} |" in first
        assert f"| {name} |" in second
    assert first.startswith("| a, in 5 folds | tiny |")
