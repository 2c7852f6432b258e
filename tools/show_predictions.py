"""Writes what the predictor says into ``README.md`` and ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``.
Writes  the parts of both pages between ``<!-- python -->`` and ``<!-- /python -->``, ``shell``,
        ``advice`` and ``example`` likewise.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image
from typer.testing import CliRunner

from pipeline.predictor import PromptSet, Uncertainty
from pipeline.predictor.advice import CORRECTIONS, KEEP
from pipeline.prompts import measure_objects
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from stages.cli.app import app
from stages.predictor import load_predictor
from stages.settings.blocks import ShapesParams
from stages.settings.params import read_params
from tools.blocks import replace_block, table

PHOTO: Final = "data/shapes/val/000005.png"
"""A scene that `make demo` draws."""

PYTHON: Final = f"""\
from PIL import Image
from usam_cache import load_predictor

predictor = load_predictor("mini", "tiny")
predictor.set_image(Image.open("{PHOTO}"))
found = predictor.predict_uncertainty(point_coords=[[120, 80]], point_labels=[1])
k = found.selected  # found.masks[k] is the mask
print(f"SamScore {{found.sam_score[k]:.2f}}, expected IoU {{found.expected_iou.own[k]:.2f}}")
print(f"{{found.advice.words}}: expected IoU {{found.advice.expected_iou:.2f}}")
"""

SHELL: Final = f"usam predict {PHOTO} --click 120,80"


def main() -> None:
    """Rewrite the blocks."""
    shapes = read_params().shapes
    for page in (Path("README.md"), Path("docs", "predict.md")):
        replace_block(page, "python", f"\n{python_block(shapes)}")
    page = Path("docs", "predict.md")
    replace_block(page, "shell", f"\n{shell_block(shapes)}")
    rows = followed(shapes)
    replace_block(page, "advice", f"\n{advice_table(rows)}\n")
    replace_block(page, "example", f"\n{example_table(rows)}\n")


def python_block(shapes: ShapesParams) -> str:
    """The lines of Python, and what they print."""
    printed = io.StringIO()
    with _folder_with_photo(shapes), contextlib.redirect_stdout(printed):
        exec(PYTHON, {})  # noqa: S102 - the lines above
    return f"```python\n{PYTHON}```\n\nprints\n\n```text\n{printed.getvalue()}```\n"


def shell_block(shapes: ShapesParams) -> str:
    """The command, and what it prints."""
    with _folder_with_photo(shapes):
        result = CliRunner().invoke(app, SHELL.split()[1:])
    assert result.exit_code == 0, result.stderr
    return f"```bash\n{SHELL}\n```\n\nprints\n\n```text\n{result.stdout}```\n"


@contextlib.contextmanager
def _folder_with_photo(shapes: ShapesParams) -> Iterator[None]:
    """Work in a folder that has nothing but the scene."""
    number = int(Path(PHOTO).stem)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path(PHOTO).parent.mkdir(parents=True)
        Image.fromarray(_scenes(shapes)[number - 1].rgb).save(PHOTO)
        yield


def _scenes(shapes: ShapesParams) -> list[Scene]:
    seeds = scene_seeds(shapes.seed, "val", shapes.n_val_images)
    return [draw_scene(seed, shapes.image_size_px) for seed in seeds]


@dataclass(frozen=True)
class Answers:
    """What is said of the first click of an object, and what corrections give for it."""

    clicked: Uncertainty
    enlarged: Uncertainty
    """What the large model says of it."""
    refined: Uncertainty
    """What is said of eight clicks."""


def followed(shapes: ShapesParams) -> pd.DataFrame:
    """The tiny model's first answer about each object of the validation scenes, and the IoU after
    each correction.
    """
    rows = []
    small, large = load_predictor("mini", "tiny"), load_predictor("mini", "large")
    for number, scene in enumerate(_scenes(shapes), start=1):
        points = measure_objects((mask, 0) for mask in scene.masks).point_px
        for predictor in (small, large):
            predictor.set_image(scene.rgb)
        clicks = [PromptSet(one[:1], [1]) for one in points]
        told = zip(
            small.predict_uncertainties(clicks),
            large.predict_uncertainties(clicks),
            small.predict_uncertainties([PromptSet(one, np.ones(8, int)) for one in points]),
            strict=True,
        )
        rows += [
            {"scene": number, "x": x, "y": y, **_row(Answers(*own), mask)}
            for own, mask, (x, y) in zip(told, scene.masks, points[:, 0], strict=True)
        ]
    return pd.DataFrame(rows)


def _row(answers: Answers, truth: np.ndarray) -> dict[str, float | str]:
    found = answers.clicked
    iou = {
        KEEP: _iou(found.masks[found.selected], truth),
        "model": _iou(answers.enlarged.masks[answers.enlarged.selected], truth),
        "prompt": _iou(answers.refined.masks[answers.refined.selected], truth),
        "task": max(_iou(mask, truth) for mask in found.masks),
        "segmentation": 1.0,
    }
    return {
        "advice": found.advice.correction,
        "sam_score": float(found.sam_score[found.selected]),
        "expected": float(found.expected_iou.own[found.selected]),
        "iou": iou[KEEP],
        "corrected": iou[found.advice.correction],
    }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def advice_table(rows: pd.DataFrame) -> str:
    """How often each advice is given, and what it is worth."""
    header = ("advice", "objects", "expected IoU", "true IoU", "true IoU after it")
    lines = []
    for correction, words in CORRECTIONS.items():
        own = rows[rows["advice"] == correction]
        means = [f"{own[name].mean():.2f}" for name in ("expected", "iou", "corrected")]
        cells = means if len(own) else ["–"] * len(means)
        lines.append([words, str(len(own)), *cells])
    return table(header, lines)


SHOWN: Final = (KEEP, "prompt", "segmentation")
"""Advice of the worked example."""


def example_table(rows: pd.DataFrame) -> str:
    """The first object of each advice in ``SHOWN``."""
    header = ("scene, click", "SamScore", "expected IoU", "advice", "true IoU", "after the advice")
    lines = []
    for correction in SHOWN:
        row = rows[rows["advice"] == correction].iloc[0]
        lines.append(
            [
                f"`{row['scene']:06}.png`, {row['x']},{row['y']}",
                *(f"{row[name]:.2f}" for name in ("sam_score", "expected")),
                CORRECTIONS[correction],
                *(f"{row[name]:.2f}" for name in ("iou", "corrected")),
            ]
        )
    return table(header, lines, left=(0, 3))


if __name__ == "__main__":
    main()
