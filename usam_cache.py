"""The names that other projects import; docs/api.md lists them.

A name is imported when it is first used: reading stores needs no model, and no extra.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from storage.extras import absent

if TYPE_CHECKING:
    __version__: str

    from pipeline.entropy.mixtures import mask_entropy
    from pipeline.masks import decode as decode_masks
    from pipeline.predictor import PromptSet, UncertainMaskGenerator, UncertainPredictor
    from pipeline.predictor.advice import Costs
    from pipeline.prompts import sample_prompts
    from pipeline.sam import Sam
    from pipeline.sam import build as build_sam
    from pipeline.scoring.auc import correction_auc
    from stages.predictor.loading import from_pretrained, load_predictor
    from storage.store.embedding_rows import read_embedding
    from storage.store.opening import (
        open_embeddings,
        open_entropy,
        open_features,
        open_masks,
        open_objects,
    )

__all__ = [
    "Costs",
    "PromptSet",
    "Sam",
    "UncertainMaskGenerator",
    "UncertainPredictor",
    "build_sam",
    "correction_auc",
    "decode_masks",
    "from_pretrained",
    "load_predictor",
    "mask_entropy",
    "open_embeddings",
    "open_entropy",
    "open_features",
    "open_masks",
    "open_objects",
    "read_embedding",
    "sample_prompts",
]

READING: Final = {
    "open_objects": "storage.store.opening.open_objects",
    "open_features": "storage.store.opening.open_features",
    "open_masks": "storage.store.opening.open_masks",
    "open_embeddings": "storage.store.opening.open_embeddings",
    "open_entropy": "storage.store.opening.open_entropy",
    "read_embedding": "storage.store.embedding_rows.read_embedding",
    "decode_masks": "pipeline.masks.decode",
    "correction_auc": "pipeline.scoring.auc.correction_auc",
}
"""Names that every installation has -> where each is defined."""

PREDICTING: Final = {
    "load_predictor": "stages.predictor.loading.load_predictor",
    "from_pretrained": "stages.predictor.loading.from_pretrained",
    "UncertainPredictor": "pipeline.predictor.uncertain_predictor.UncertainPredictor",
    "UncertainMaskGenerator": "pipeline.predictor.uncertain_generator.UncertainMaskGenerator",
    "PromptSet": "pipeline.predictor.prompt_sets.PromptSet",
    "Costs": "pipeline.predictor.advice.Costs",
    "Sam": "pipeline.sam.model.Sam",
    "build_sam": "pipeline.sam.building.build",
    "mask_entropy": "pipeline.entropy.mixtures.mask_entropy",
    "sample_prompts": "pipeline.prompts.sample_prompts",
}
"""Names that need the extra ``predict`` -> where each is defined."""

if not TYPE_CHECKING:  # otherwise checkers would accept any name

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
        """Import a name when it is first used.

        Raises
        ------
        ImportError
            If the name needs an extra that is not installed.
        """
        if name == "__version__":
            return version("usam-cache")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, defined = (READING | PREDICTING)[name].rpartition(".")
        try:
            return getattr(import_module(module), defined)
        except ModuleNotFoundError as error:
            line = absent(error.name or "")
            if line is None:
                raise
            raise ImportError(line, name=error.name) from error

    def __dir__() -> list[str]:
        """Every name, imported yet or not."""
        return sorted(__all__)
