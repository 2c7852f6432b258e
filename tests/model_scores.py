"""What models say of objects, drawn at random."""

import numpy as np

from pipeline.measures import ENTROPY_MEASURES, ModelScores, ProposalScores
from pipeline.vocabulary import OBJECTIVES

TRAIN_SPLITS = ("coco_train", "davis_train")


def random_scores(
    seed: int,
    n_objects: int = 40,
    train_splits: tuple[str, ...] = TRAIN_SPLITS,
    other_tokens: tuple[str, ...] = (),
) -> ModelScores:
    rng = np.random.default_rng(seed)

    def predictions() -> dict[str, dict[str, np.ndarray]]:
        return {
            split: {name: rng.random(n_objects, dtype=np.float32) for name in OBJECTIVES}
            for split in train_splits
        }

    iou, sam_score, refined_iou = rng.random((3, n_objects, 3), dtype=np.float32)
    return ModelScores(
        proposals=ProposalScores(iou, sam_score, refined_iou),
        entropies={name: rng.random(n_objects, dtype=np.float32) for name in ENTROPY_MEASURES},
        predictions=predictions(),
        other_predictions={tokens: predictions() for tokens in other_tokens},
    )
