"""Sentences that results write into the docs."""

import pandas as pd

from tools.show_results import jitter_sentences

ROWS = pd.DataFrame(
    [
        ("selected", "prompt", "dice_near", "no better"),
        ("selected", "segmentation", "dice_near", "worse"),
        ("selected", "segmentation", "dice_xp", "better"),
        ("best", "prompt", "dice_near", "better"),
    ],
    columns=["protocol", "task", "measure", "verdict"],
)


def test_jitter_is_told_whatever_it_is_and_only_where_it_was_asked_for() -> None:
    (told,) = jitter_sentences(ROWS, ["selected", "best"])
    assert told.endswith(
        "Selected masks: no better in the task “Prompt”, worse in the task “Segmentation”. "
        "Best masks (chosen by ground truth): better in the task “Prompt”."
    )
    assert jitter_sentences(ROWS[ROWS["measure"] == "dice_xp"], ["selected", "best"]) == []
