"""Settings of Sphinx for the docs as a site: ``make site``."""

import re
from importlib.metadata import version as version_of
from pathlib import Path
from threading import Lock
from types import GenericAlias

from docutils import nodes
from numpy.typing import ArrayLike
from pygments.lexers.special import TextLexer
from sphinx.addnodes import desc_annotation
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

ROOT = Path(__file__).parents[2]

project = "usam-cache"
release = version = version_of("usam-cache")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc"]
root_doc = "site/index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

html_static_path = ["static"]
html_extra_path = ["../../build/gallery", "root"]
html_css_files = ["site.css"]
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_collapse": True}
html_sidebars = {"**": ["about.html", "searchfield.html", "localtoc.html", "navigation.html"]}
html_show_copyright = False
toc_object_entries = False

PACKAGES = ("pipeline", "storage")
"""Packages whose modules the reference has; ``stages`` has commands, which have their own help."""

ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")

BESIDE = ("CHANGELOG", "CODE_OF_CONDUCT", "CONTRIBUTING", "SECURITY")
"""Pages at the root of the repository, beside README, which is the first page of the site."""


def with_pages_of_the_root(_: Sphinx, docname: str, source: list[str]) -> None:
    """Begin a page with the text of its file at the root; make links lead to pages of the site."""
    text = source[0]
    name = docname.removeprefix("site/").upper().replace("INDEX", "README")
    if docname.startswith("site/") and name in ("README", *BESIDE):
        page = (ROOT / f"{name}.md").read_text("utf-8")
        # Other files of the repository become downloads.
        page = re.sub(r"\]\((?!https?:|#|docs/|[A-Z_]+\.md)", "](../../", page)
        text = page.replace("](docs/", "](../") + text
    for beside in BESIDE:
        text = text.replace(f"]({beside}.md", f"]({beside.lower()}.md")
    text = text.replace("](README.md", "](index.md").replace("](../README.md", "](site/index.md")
    source[0] = text.replace("{MODULES}", modules())


def modules() -> str:
    """A section for each module of the packages, with its public names."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    sections = [
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        for name in names
        if not name.endswith(("__init__", "__main__"))
    ]
    return "\n".join(sections)


def is_left_out(_: Sphinx, _kind: str, _name: str, member: object, *_others: object) -> bool | None:
    """Leave out locks, and aliases such as ``Callable[[int], str]``: autodoc fails at them."""
    return True if isinstance(member, GenericAlias) or member is Lock else None


def shortened(
    _app: Sphinx, _kind: str, _name: str, _member: object, _options: object, *texts: str | None
) -> tuple[str | None, ...]:
    """Name ``ArrayLike`` in a signature, which NumPy spells out in eight parts."""
    return tuple(text and text.replace(ARRAY_LIKE, "ArrayLike") for text in texts)


def shorten_types(_: Sphinx, doctree: nodes.document) -> None:
    """Name ``ArrayLike`` in the type of an attribute, too."""
    shown = re.sub(r"~(\w+\.)+", "", ARRAY_LIKE)
    for annotation in doctree.findall(desc_annotation):
        if shown in (text := annotation.astext()):
            annotation.children = [nodes.Text(text.replace(shown, "ArrayLike"))]


def setup(app: Sphinx) -> None:
    """Connect the pages of the root, and name a lexer for CSV, which Pygments lacks."""
    app.connect("source-read", with_pages_of_the_root)
    app.connect("autodoc-skip-member", is_left_out)
    app.connect("autodoc-process-signature", shortened)
    app.connect("doctree-read", shorten_types)
    app.add_lexer("csv", TextLexer)
