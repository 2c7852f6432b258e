"""What the tests of the page share: one page and, in a browser, one server."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from stages.predictor.command_options import ModelOptions
from stages.web.page_state import PageState
from tests.fixtures.chromium import chromium
from tests.fixtures.predictors import write_random_heads
from tools.served_page import served


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageState]:
    """With two head sets: ``other``, which learned nothing, and the one that ships."""
    other = write_random_heads(tmp_path_factory.mktemp("heads") / "other.safetensors")
    page = PageState(ModelOptions(heads=other))
    yield page
    page.close()


@pytest.fixture(scope="session")
def served_page(page: PageState) -> PageState:
    """The same, where a tab of the browser is called a page."""
    return page


@pytest.fixture(scope="session")
def address(page: PageState) -> Iterator[str]:
    with served(page) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
