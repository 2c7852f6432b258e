"""Outputs that a user names by mistake: no command writes over a file of another kind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from stages.cli.app import app
from storage.head_files.head_file import shipped_heads
from storage.images.image_files import png_bytes
from tests.fixtures.predictors import drawn

CLICK = ("--click", "150,90")

COMMANDS = {
    "predict-coco": ("predict-coco", "photos", "asked.json", "OUT"),
    "review for COCO": ("review", "photos", "--export", "OUT"),
    "review for CVAT": ("review", "photos", "--export", "OUT", "--format", "cvat"),
    "heads export": ("heads", "export", "shapes_train", "OUT"),
    "predict": ("predict", "photos/a.png", *CLICK, "--save", "FOLDER"),
    "heads card": ("heads", "card", "heads.safetensors", "--license", "mit", "--to", "FOLDER"),
}
"""Commands with an output; OUT is replaced by its file, and FOLDER by the file's folder."""

FILES = {"predict": "a-mask.png", "heads card": "README.md"}
"""Names that commands give files in FOLDER themselves."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with an image, a COCO file of a box in it, and a head file."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(drawn()).save("photos/a.png")
    height, width = drawn().shape[:2]
    image = {"id": 1, "file_name": "a.png", "height": height, "width": width}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 30, 160, 120]}
    Path("asked.json").write_text(json.dumps({"images": [image], "annotations": [box]}), "utf-8")
    shutil.copy(shipped_heads(), "heads.safetensors")


def run(command: str, out: Path) -> Result:
    words = {"OUT": str(out), "FOLDER": str(out.parent)}
    return CliRunner().invoke(app, [words.get(word, word) for word in COMMANDS[command]])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "content",
    [
        b"# Mine\n",
        b"[1, 2]",
        b"[\n  {}\n]",
        b'{"images": []}',
        png_bytes(np.zeros((9, 9), np.uint8)),
    ],
)
def test_a_file_of_another_kind_is_never_replaced(command: str, content: bytes) -> None:
    out = Path("mine", FILES.get(command, "README.md"))
    out.parent.mkdir()
    out.write_bytes(content)
    refused = run(command, out)
    assert refused.stderr == (
        f"error: {out} must be a new file, or one that this command has written, got another: "
        "name another output\n"
    )
    assert {path: path.read_bytes() for path in out.parent.iterdir()} == {out: content}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_computed(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.predictor.loading._loaded", pytest.fail)
    out = Path("photos/a.png/x/y")
    refused = run(command, out)
    assert (refused.exit_code, refused.stderr) == (1, "error: photos/a.png/x: Not a directory\n")


def test_a_word_that_is_not_unicode_is_refused_by_name() -> None:
    words = ["heads", "card", "heads.safetensors", "--license", "mit\udcff", "--to", "mine"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 1
    assert refused.stderr == "error: text of mine/README.md must be Unicode, got '\\udcff'\n"
    assert [*Path("mine").iterdir()] == []


@pytest.mark.parametrize(
    "command", ["predict-coco", "review for COCO", "review for CVAT", "predict", "heads card"]
)
def test_a_file_of_the_command_itself_is_replaced(command: str) -> None:
    out = Path("mine", FILES.get(command, "out"))
    out.parent.mkdir()
    out.touch()
    for _ in range(2):
        done = run(command, out)
        assert done.exit_code == 0, done.stderr
        first = out.read_bytes()
    assert first == out.read_bytes() != b""
