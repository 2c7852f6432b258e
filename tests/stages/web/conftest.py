"""What the tests of the page in a browser share: one server, one browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from stages.web.page import Page as Served
from tests.fixtures.chromium import chromium
from tests.fixtures.predictors import write_random_heads
from tools.served_page import served


@pytest.fixture(scope="session")
def served_page(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A page with two head sets: ``other``, which learned nothing, and the one that ships."""
    other = tmp_path_factory.mktemp("heads") / "other.safetensors"
    write_random_heads(other)
    return Served(heads=[other])


@pytest.fixture(scope="session")
def address(served_page: Served) -> Iterator[str]:
    with served(served_page) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
