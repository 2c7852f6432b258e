"""Writes answers of the predictor into ``README.md`` and ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``, ``stages/web/scenes.csv``.
Writes  the part of ``README.md`` between ``<!-- python -->`` and ``<!-- /python -->``, and that of
        ``docs/predict.md`` named ``shell``.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image
from typer.testing import CliRunner

from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import DEMO_SEED
from stages.cli.app import app
from stages.predictor.loading import load_predictor
from stages.web.page_state import read_scenes
from tools.answers import Image, Masks, drawn_images, iou_of
from tools.blocks import replace_block

SCENE: Final = read_scenes()[0]
"""The scene whose error is the median, by ``tools.choose_scenes``."""

PHOTO: Final = f"data/shapes/val/{SCENE.number + 1:06}.png"
"""Its file: `make demo` draws it."""

CLICK_PX: Final = (SCENE.x, SCENE.y)

PYTHON: Final = f"""\
from PIL import Image
from usam_cache import load_predictor

predictor = load_predictor("mini", "tiny")
predictor.set_image(Image.open("{PHOTO}"))
answer = predictor.predict_uncertainty(point_coords=[[{SCENE.x}, {SCENE.y}]], point_labels=[1])
k = answer.selected  # answer.masks[k] is the mask
print(f"SamScore {{answer.sam_score[k]:.2f}}, expected IoU {{answer.expected_iou.own[k]:.2f}}")
print(f"{{answer.advice.words}}: expected IoU {{answer.advice.expected_iou:.2f}}")
"""

SHELL: Final = f"usam predict {PHOTO} --click {SCENE.x},{SCENE.y}"


def main() -> None:
    """Rewrite the blocks."""
    replace_block(Path("README.md"), "python", f"\n{python_block()}")
    replace_block(Path("docs", "predict.md"), "shell", f"\n{shell_block()}")


def python_block() -> str:
    """The lines of Python, their output, and the ground truth."""
    printed = io.StringIO()
    rgb, masks = _scene()
    with _folder_with(rgb), contextlib.redirect_stdout(printed):
        exec(PYTHON, {})  # noqa: S102 - the lines above
    return (
        f"```python\n{PYTHON}```\n\nprints\n\n```text\n{printed.getvalue()}```\n\n"
        f"{truth_words(rgb, masks)}\n"
    )


def truth_words(rgb: np.ndarray, masks: Masks) -> str:
    """The true IoUs of the selected mask and of the chosen one."""
    predictor = load_predictor("mini", "tiny")
    predictor.set_image(rgb)
    answer = predictor.predict_uncertainty([CLICK_PX], [1])
    (truth,) = (mask for mask in masks if tuple(sample_prompts(mask, seed=0)[0]) == CLICK_PX)
    return (
        f"By the ground truth, the IoU of this mask is "
        f"{iou_of(answer.masks[answer.selected], truth):.2f}, and of the chosen mask "
        f"{iou_of(answer.best_mask.mask, truth):.2f}. Of the largest objects in "
        "the demo's scenes of `shapes_val`, this one has the median error of the expected IoU "
        "(`tools.choose_scenes`)."
    )


def shell_block() -> str:
    """The command, and its output."""
    with _folder_with(_scene()[0]):
        result = CliRunner().invoke(app, SHELL.split()[1:])
    assert result.exit_code == 0, result.stderr
    return f"```bash\n{SHELL}\n```\n\nprints\n\n```text\n{result.stdout}```\n"


def _scene() -> Image:
    return [*drawn_images(DEMO_SEED, "val", SCENE.number + 1)][-1]


@contextlib.contextmanager
def _folder_with(rgb: np.ndarray) -> Iterator[None]:
    """Work in a folder that has nothing but the scene."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path(PHOTO).parent.mkdir(parents=True)
        PIL.Image.fromarray(rgb).save(PHOTO)
        yield


if __name__ == "__main__":
    main()
