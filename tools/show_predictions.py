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

from PIL import Image
from typer.testing import CliRunner

from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from stages.cli.app import app
from stages.predictor.loading import load_predictor
from stages.settings.blocks import ShapesParams
from stages.settings.params import read_params
from stages.web.page_state import read_scenes
from tools.blocks import replace_block

SCENE: Final = next(scene for scene in read_scenes() if scene.advice == "task")
"""The scene with this advice that ``tools.choose_scenes`` drew."""

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
    shapes = read_params().shapes
    replace_block(Path("README.md"), "python", f"\n{python_block(shapes)}")
    replace_block(Path("docs", "predict.md"), "shell", f"\n{shell_block(shapes)}")


def python_block(shapes: ShapesParams) -> str:
    """The lines of Python, their output, and the ground truth."""
    printed = io.StringIO()
    with _folder_with_photo(shapes), contextlib.redirect_stdout(printed):
        exec(PYTHON, {})  # noqa: S102 - the lines above
    return (
        f"```python\n{PYTHON}```\n\nprints\n\n```text\n{printed.getvalue()}```\n\n"
        f"{truth_words(_scenes(shapes)[SCENE.number])}\n"
    )


def truth_words(scene: Scene) -> str:
    """The true IoUs of the selected mask and of the chosen one."""
    predictor = load_predictor("mini", "tiny")
    predictor.set_image(scene.rgb)
    answer = predictor.predict_uncertainty([CLICK_PX], [1])
    (truth,) = (m for m in scene.masks if tuple(sample_prompts(m, seed=0)[0]) == CLICK_PX)
    selected, advised = (
        float((mask & truth).sum() / (mask | truth).sum())
        for mask in (answer.masks[answer.selected], answer.best_mask.mask)
    )
    return (
        f"By the ground truth, the IoU of this mask is {selected:.2f}, and of the chosen mask "
        f"{advised:.2f}."
    )


def shell_block(shapes: ShapesParams) -> str:
    """The command, and its output."""
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


if __name__ == "__main__":
    main()
