"""Writes the coverage of mask sets, overall and where it is lower, into docs: ``make results``.

Reads   the features of ``shapes_further`` and the heads of ``shapes_train``, of
        ``params/results.yaml``.
Writes  the part of ``docs/method.md`` between ``<!-- coverage -->`` and ``<!-- /coverage -->``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.heads.scope import OF_SETS
from pipeline.mask_sets import Coverage
from pipeline.risk_control import Guarantee
from stages.cli.gate import IN_USE, Gated, calibrate_sets, read_prompt_masks
from stages.page.labels import DASH
from stages.predictor.card_entries import PROMPT_WORDS
from stages.settings.params import read_params
from storage.errors import DataError
from tools.blocks import replace_block, table
from tools.show_results import FURTHER

PAGE: Final = Path("docs", "method.md")

TARGET: Final = Guarantee(OF_SETS, 0.5, 0.2)
"""A set has a proposal with an IoU of 0.5 or more in 80 % of the cases."""

TRAIN_SPLIT: Final = "shapes_train"


def main() -> None:
    """Rewrite the block."""
    replace_block(PAGE, "coverage", f"\n{coverage_table(dict(coverages()))}\n")


def coverages() -> Iterator[tuple[str, Coverage | None]]:
    """Coverage by prompt set, by heads of this project; None where no set reaches the target."""
    params = read_params()
    masks = Gated(FURTHER, "selected", params.models[-1], IN_USE, TRAIN_SPLIT)
    for prompt_masks in read_prompt_masks(params, masks):
        try:
            _, coverage = calibrate_sets(masks, prompt_masks, TARGET)
        except DataError:  # the target is out of reach, which the table shows
            yield prompt_masks.prompt, None
        else:
            yield prompt_masks.prompt, coverage


def coverage_table(by_prompt: dict[str, Coverage | None]) -> str:
    """Table of the coverage of sets on images that did not calibrate them."""
    header = ("prompt", "all objects", "smallest third of them", "worst tenth of the images")
    rows = [
        (
            PROMPT_WORDS[prompt],
            *([DASH] * 3 if coverage is None else _shares(coverage)),
        )
        for prompt, coverage in by_prompt.items()
    ]
    lead = (
        f"Sets for IoU ≥ {TARGET.iou:g} in {1 - TARGET.alpha:.0%}, of the large model's proposals "
        f"in the scenes of `{FURTHER}`, by the heads `ours`, calibrated on random halves of the "
        "scenes and counted on the others:"
    )
    return f"{lead}\n\n{table(header, rows)}"


def _shares(coverage: Coverage) -> list[str]:
    shares = (coverage.share, coverage.of_small, coverage.of_worst)
    return [f"{100 * share:.0f} %" for share in shares]


if __name__ == "__main__":
    main()
