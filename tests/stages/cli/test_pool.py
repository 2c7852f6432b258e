"""``usam cache clean``: what it removes from the pool, and what it leaves there."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages import extract
from stages.cli.app import app
from stages.cli.columns import bytes_text
from storage.paths import POOL
from tests.fixtures.extract_project import (
    CELL,
    encoded_images,
    files_of,
    pool_of,
    run,
    write_params,
)
from tests.fixtures.fill_command import fill

N_SHARDS = 3


@pytest.fixture(autouse=True)
def project(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose cell is extracted, as the working directory."""
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def usam(command: str) -> list[str]:
    """Lines that a command of ``usam cache`` prints."""
    result = CliRunner().invoke(app, ["cache", command])
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_nothing_is_cleaned_that_a_cell_asks_for() -> None:
    before = files_of(POOL)
    for device in ("cpu", "auto"):
        write_params(device=device)
        assert usam("clean") == ["removed 0 shards, 0 B"]
        assert files_of(POOL) == before


def test_published_shards_of_former_settings_go_and_unpublished_ones_stay() -> None:
    run(extract, *CELL)  # whose masks are links then: their bytes stay
    published = pool_of().folder
    n_bytes = sum(path.stat().st_size for path in published.glob("*.npz"))
    write_params(precision="bf16")
    fill("/".join(CELL), "--shard-range", "1/2")
    (kept, other) = pool_of().folder, files_of(pool_of().folder)
    assert usam("clean") == [f"removed {N_SHARDS} shards, {bytes_text(n_bytes)}"]
    assert not published.exists()
    write_params()
    assert usam("clean") == [
        "removed 0 shards, 0 B",
        f"kept    2 shards that were never published; `rm -r {kept}` removes them",
    ]
    assert files_of(kept) == other
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert not encoded, "what is published serves as pool"
