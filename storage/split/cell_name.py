"""Names the cells of a split, and the paths of their stores."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.views import View
from storage.paths import embeddings_path, features_path, masks_path
from storage.split.sharded_table import ShardedTable


@dataclass(frozen=True)
class CellName:
    """Split, model and view that name a cell, its prompt sets, and whether it has masks.

    Without prompt sets, it names a model's embeddings of a split.
    """

    split: str
    model: str
    view: View
    prompts: tuple[str, ...]
    with_masks: bool

    def __str__(self) -> str:
        return f"{self.split}/{self.model}/{'embeddings' if self.is_embeddings else self.view.name}"

    @property
    def is_embeddings(self) -> bool:
        """Whether the rows are the embeddings of images, not answers to prompt sets."""
        return not self.prompts

    def rows(self, split: ShardedTable) -> ShardedTable:
        """Rows of the cell's stores: the objects of a split or, for embeddings, its images."""
        return split.images if self.is_embeddings else split

    @property
    def outputs(self) -> dict[str, Path]:
        """Path of each store of the cell in the cache, by kind.

        The kinds are ``features`` and, with masks, ``masks``; or ``embeddings`` alone.
        """
        if self.is_embeddings:
            return {"embeddings": embeddings_path(self.split, self.model)}
        place = (self.split, self.model, self.view.name)
        masks = {"masks": masks_path(*place)} if self.with_masks else {}
        return {"features": features_path(*place), **masks}
