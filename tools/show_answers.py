"""Writes what answers of the mini models are worth into docs and ``README.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``; COCO data sets, folders with
        ``images`` and ``annotations.json``, that are given as arguments. ``--review-scenes 2000``
        simulates reviews of more scenes, which takes a second per scene.
Writes  the parts of ``docs/predict.md`` between ``<!-- expected -->`` and ``<!-- /expected -->``,
        and likewise ``unlike``, ``choice``, ``advice`` and ``regret``; ``review`` and ``stops`` of
        ``docs/annotate.md``; ``replication`` of ``docs/results.md``; ``advised`` of ``README.md``.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pandas as pd
import torch

from pipeline.heads.scope import LEAST_GAIN, OUT_OF_DISTRIBUTION
from pipeline.sam.families import DRAWN, PHOTOGRAPHS, models_of
from stages.predictor.loading import load_predictor
from stages.web.review_command import STOP_AT
from storage.head_files.head_file import read_head_file, shipped_heads
from tools.advice_tables import advice_table, advised_words, followed, regret_table
from tools.answers import CLICK, PROMPTS, answers, coco_images, drawn_images
from tools.blocks import mean_of, replace_block, table
from tools.replication import replication_table
from tools.review_tables import REVIEWED, found_table, stop_table
from tools.show_predictions import SCENE

README: Final = Path("README.md")

PREDICT: Final = Path("docs", "predict.md")

ANNOTATE: Final = Path("docs", "annotate.md")

RESULTS: Final = Path("docs", "results.md")

SEED, N_SCENES = 29, 400
"""Scenes on which nothing was learned or chosen. The default costs of corrections were chosen on
400 scenes each of the seeds 2, 26, 27 and 28."""

CHOOSABLE: Final = tuple(prompt for prompt in PROMPTS if prompt != "given")
"""Kinds of prompts from which heads choose masks: all but those with a mask."""


def main(folders: Sequence[str], review_scenes: int = 0) -> None:
    """Rewrite the blocks; reviews are of ``review_scenes`` scenes, or of ``N_SCENES`` if fewer."""
    torch.set_num_threads(1)  # sums of several threads differ in last digits, and so do ties
    smallest, *larger = models_of(DRAWN)
    images = list(drawn_images(SEED, "val", N_SCENES))
    predictor = load_predictor(DRAWN, smallest)
    rows = {smallest: answers(predictor, images, PROMPTS)}
    for model in larger:
        rows[model] = answers(load_predictor(DRAWN, model), images, CHOOSABLE)
    replace_block(PREDICT, "expected", f"\n{expected_table(rows[smallest])}\n")
    replace_block(PREDICT, "choice", f"\n{choice_table(rows)}\n")
    corrected = followed(rows[smallest], rows[larger[-1]])
    replace_block(PREDICT, "advice", f"\n{advice_table(corrected)}\n")
    replace_block(PREDICT, "regret", f"\n{regret_table(corrected)}\n")
    replace_block(README, "advised", advised_words(corrected, SCENE.advice))
    reviewed, seen = {"fresh scenes": rows[smallest]}, {"fresh scenes": rows[smallest]}
    for folder in folders:
        knowing = load_predictor(PHOTOGRAPHS, models_of(PHOTOGRAPHS)[0])
        reviewed["photographs"] = answers(knowing, coco_images(Path(folder)), REVIEWED)
        seen["photographs"] = answers(predictor, coco_images(Path(folder)), (CLICK,))
    replace_block(PREDICT, "unlike", unlike_words(seen))
    replace_block(ANNOTATE, "review", f"\n{found_table(reviewed)}\n")
    more = list(islice(drawn_images(SEED, "val", review_scenes), N_SCENES, None))
    for model, of_model in rows.items() if more else ():
        further = answers(load_predictor(DRAWN, model), more, (*REVIEWED, "refined"))
        further["image"] += N_SCENES
        rows[model] = pd.concat([of_model, further], ignore_index=True)
    replace_block(RESULTS, "replication", f"\n{replication_table(rows)}\n")
    measured = read_head_file(shipped_heads()).errors
    errors = {(of_prompt.model, of_prompt.prompt): of_prompt for of_prompt in measured}
    replace_block(ANNOTATE, "stops", f"\n{stop_table(rows, errors, STOP_AT)}\n")


def expected_table(rows: pd.DataFrame) -> str:
    """True IoU after each kind of prompt, with the error and correlation of the expected IoU."""
    header = ("prompt", "true IoU", "expected less true", "correlation", "that of SamScore")
    lines = []
    for prompt, of_prompt in rows.groupby("prompt", sort=False):
        iou = of_prompt["iou"]
        lines.append(
            [
                PROMPTS[str(prompt)],
                f"{iou.mean():.2f}",
                mean_of(of_prompt, of_prompt["expected_iou"] - iou, "+.2f"),
                *(f"{of_prompt[name].corr(iou):.2f}" for name in ("expected_iou", "sam_score")),
            ]
        )
    return table(header, lines)


def unlike_words(rows: Mapping[str, pd.DataFrame]) -> str:
    """Sentence on the share of the images that are found unlike the training images.

    ``rows`` are results of ``answers`` by a name of their images.
    """
    shares = []
    for source, masks in rows.items():
        is_unlike = masks.groupby("image")["unlike_training"].first() > OUT_OF_DISTRIBUTION
        shares.append(f"{is_unlike.mean():.0%} of {len(is_unlike)} {source}")
    return f"The heads of `{DRAWN}` find unlike: {', '.join(shares)}."


def choice_table(rows: dict[str, pd.DataFrame]) -> str:
    """True and stated gain in mean IoU by the choice, and shares of objects that change.

    ``rows`` are results of ``answers`` by model.
    """
    header = (
        *("prompt", "model", "objects", "IoU of selected masks"),
        *("gain in points", "stated gain", "changed", "gained", "lost"),
    )
    lines = []
    for model, of_model in rows.items():
        choosable = of_model[of_model["prompt"].isin(CHOOSABLE)]
        for prompt, of_prompt in choosable.groupby("prompt", sort=False):
            gain = of_prompt["chosen_iou"] - of_prompt["iou"]
            lines.append(
                [
                    *(PROMPTS[str(prompt)], model.replace("_", " "), str(len(of_prompt))),
                    f"{100 * of_prompt['iou'].mean():.1f}",
                    mean_of(of_prompt, 100 * gain, "+.1f"),
                    f"{100 * of_prompt['chosen_gain'].mean():+.1f}",
                    f"{(of_prompt['chosen_gain'] > 0).mean():.0%}",
                    f"{(gain > LEAST_GAIN).mean():.0%}",
                    f"{(gain < -LEAST_GAIN).mean():.0%}",
                ]
            )
    return table(header, lines, left=(0, 1))


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--review-scenes", type=int, default=0)
    main(**vars(parser.parse_args()))
