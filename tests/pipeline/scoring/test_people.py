"""The comparison with people: its plan, and its statistics against slow and obvious versions."""

import re
from typing import Final

from pipeline.scoring.people import PLAN
from tests.fixtures.dvc_stages import ROOT

N_MODELS: Final = 4


def test_the_plan_in_the_docs_has_the_hypotheses_that_are_tested() -> None:
    doc = (ROOT / "docs/method.md").read_text("utf-8")
    plan = doc.partition("<!-- plan -->")[2].partition("<!-- /plan -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", plan, re.MULTILINE)
    told = {name: tuple(re.findall(r"`(\w+)`", measures)) or ("",) for name, measures in rows}
    assert told == PLAN
    n_tests = N_MODELS * sum(map(len, PLAN.values()))
    assert f"these are {n_tests} tests" in doc
    n_of_disagreement = N_MODELS * sum(
        len(measures)
        for name, measures in PLAN.items()
        if name.startswith(("people_rank", "people_margin"))
    )
    assert f"({n_of_disagreement} tests)" in doc
