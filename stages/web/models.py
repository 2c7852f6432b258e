"""The models and head sets that the page offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.predictor import UncertainPredictor
from pipeline.sam.model import Sam
from pipeline.vocabulary import MODELS
from stages.predictor import load_predictor
from stages.shell.rules import ParamsError, check_known
from storage.head_files.head_file import read_head_file, shipped_heads


@dataclass(frozen=True)
class HeadChoice:
    """A file of heads, as the page offers it."""

    path: Path
    card: Mapping[str, str]

    @property
    def label(self) -> str:
        """Whose models it judges, what it learned from, and its kind."""
        card = self.card
        name = "" if self.path.stem == card["family"] else f" ({self.path.stem})"
        best = ", best masks" if card["protocol"] == "best" else ""
        return f"{card['family']}, {card['split']}, {card['kind']}{best}{name}"


class Models:
    """Predictors by head set and model, loaded when somebody first asks for them.

    Raises
    ------
    ParamsError
        If two files of heads have the same name.
    WeightsError
        If a file is missing or damaged.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.choices: dict[str, HeadChoice] = {}
        for path in (*files, shipped_heads()):
            if path.stem in self.choices:
                raise ParamsError(f"files of heads must have names of their own, got {path.stem}")
            self.choices[path.stem] = HeadChoice(path, read_head_file(path).card)
        self._sams: dict[tuple[str, str, str], Sam] = {}
        self._predictors: dict[tuple[str, str], UncertainPredictor] = {}

    @property
    def default_heads(self) -> str:
        """The first head set that was given, or else the one that ships."""
        return next(iter(self.choices))

    def predictor(self, heads: str, model: str) -> UncertainPredictor:
        """The predictor of a head set and a model; it has no image.

        Raises
        ------
        ParamsError
            If a name is unknown.
        WeightsError, DataError
            As ``load_predictor``.
        """
        check_known("heads", heads, self.choices)
        check_known("model", model, MODELS)
        if (heads, model) not in self._predictors:
            self._predictors[heads, model] = self._loaded(self.choices[heads], model)
        return self._predictors[heads, model]

    def _loaded(self, choice: HeadChoice, model: str) -> UncertainPredictor:
        family, protocol = choice.card["family"], choice.card["protocol"]
        found = load_predictor(family, model, heads=choice.path, protocol=protocol)
        # Head sets share a model, and with it the encoding of an image.
        sam = self._sams.setdefault((family, model, found.sam.precision), found.sam)
        return UncertainPredictor(sam, found.heads)
