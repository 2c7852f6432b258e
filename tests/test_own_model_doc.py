"""The five lines of docs/own_model.md lead from weights to a mask, if possible on photographs."""

import json
import re
import shlex
from pathlib import Path
from typing import Final

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import draw_scene, scene_seeds
from stages.cli.app import app
from stages.extraction.models import read_weights
from storage.checkpoints.weights import checkpoint
from storage.coco_writer import write_coco
from tests.fixtures.dvc_stages import ROOT

PAGE: Final = (ROOT / "docs" / "own_model.md").read_text("utf-8")

PHOTOGRAPHS: Final = ROOT.parent / "shared" / "samples" / "photographs"

N_IMAGES: Final = 12


def photographs() -> None:
    """Write the annotations of some photographs into the working directory."""
    coco = json.loads((PHOTOGRAPHS / "annotations.json").read_text("utf-8"))
    coco["images"] = coco["images"][:N_IMAGES]
    ids = {image["id"] for image in coco["images"]}
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in ids]
    Path("photos.json").write_text(json.dumps(coco), "utf-8")
    Path("photos").symlink_to(PHOTOGRAPHS / "images")


def drawn_scenes() -> None:
    """Draw scenes in the place of photographs."""
    scenes = (draw_scene(seed, 128) for seed in scene_seeds(5, "train", N_IMAGES))
    write_coco(Path("photos"), Path("photos.json"), scenes, CATEGORIES)


@pytest.mark.no_cover
def test_five_lines_lead_from_weights_to_a_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (photographs if PHOTOGRAPHS.exists() else drawn_scenes)()
    first = min(Path("photos").iterdir())
    Image.open(first).convert("RGB").save("photo.jpg")
    weights = read_weights(checkpoint("mini-photos", "tiny").path)
    torch.save({name: 1.001 * tensor for name, tensor in weights.items()}, "mine.pt")
    (command,) = re.findall(r"^```bash\nusam (.*?)\n```", PAGE, re.MULTILINE)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    (lines,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    capsys.readouterr()
    exec(compile(lines, "own_model.md", "exec"), {})  # noqa: S102 - of the page
    assert re.match(r"[01]\.\d+ Advice\(", capsys.readouterr().out)
