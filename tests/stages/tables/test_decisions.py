"""What it is worth to choose by predicted gains, as a table of the results."""

import numpy as np
import pandas as pd
import pytest

from pipeline.scoring.tasks import REFINED
from stages.tables.decisions import COSTS, decision_table
from stages.tables.report_table import Results
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS


def nets(objects: pd.DataFrame, protocol: str, cost: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of tiny, and what keep, click again and large net, an object at a time."""
    rows = objects[objects["judged"] == protocol]
    tiny, large = rows[rows["model"] == "tiny"], rows[rows["model"] == "large"]
    refined = tiny[f"{REFINED[protocol]}_iou"]
    both = zip(tiny["iou"], refined, large["iou"], strict=True)
    return tiny, np.array([(0, more - own - cost, other - own - cost) for own, more, other in both])


def regrets(objects: pd.DataFrame, protocol: str, cost: float) -> dict[str, tuple[float, float]]:
    """Regret and margin in percent, by the way to choose."""
    tiny, net = nets(objects, protocol, cost)
    ways = dict(zip(("keep always", "always click again", "always large"), net.T, strict=True))
    score = tiny["sam_score"].to_numpy()
    below = [
        np.where(score < threshold, net[:, correction], 0)
        for threshold in [*score, np.inf]
        for correction in range(3)
    ]
    ways["by SamScore"] = max(below, key=np.mean)
    for i, split in enumerate(TRAIN_SPLITS):
        for kind, label in (("", ""), ("_ours", ", ours")):
            names = [f"{name}{kind}@{split}" for name in ("delta_xp_star", "delta_theta_star")]
            own = [
                max((0, 0), (xp - cost, 1), (theta - cost, 2), key=lambda choice: choice[0])[1]
                for xp, theta in tiny[names].to_numpy()
            ]
            chosen = np.array([row[choice] for row, choice in zip(net, own, strict=True)])
            ways[f"by Δ*{label}" + (f"@{split}" if i else "")] = chosen
    best, fixed = net.max(axis=1).mean(), net.mean(axis=0).max()
    return {
        name: (100 * (best - own.mean()), 100 * (own.mean() - fixed)) for name, own in ways.items()
    }


@pytest.mark.parametrize("split", SPLITS)
def test_a_way_to_choose_is_compared_with_hindsight_and_with_the_best_fixed_choice(
    own: Results, protocol: str, split: str
) -> None:
    table = decision_table(own)
    for cost in COSTS:
        rows = table[table["cost"] == f"{cost:g}"].set_index("choice")
        expected = regrets(own[split].objects, protocol, cost)
        assert set(rows.index) == set(expected)
        for name, numbers in expected.items():
            found = [rows.loc[name, split], rows.loc[name, f"{split}_difference"]]
            assert found == pytest.approx(numbers, abs=1e-4), name
    for end in ("", "_difference"):
        assert (table[f"{split}{end}_low"] <= table[f"{split}{end}"] + 1e-9).all()
        assert (table[f"{split}{end}_high"] >= table[f"{split}{end}"] - 1e-9).all()
    assert (table[f"{split}_low"] > 0).all()
