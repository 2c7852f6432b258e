"""The training of the mini models, a step at a time; its state can be kept and taken up again."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.families import MINI_TRUNKS
from pipeline.recipe import Phase, Recipe, learning_rate
from pipeline.recipe_batches import Batch
from pipeline.recipe_growth import grow
from pipeline.recipe_loss import assess
from pipeline.recipe_start import attentive
from pipeline.sam import IMAGE_PATH, PIXEL_MEAN, PIXEL_STD, build
from pipeline.seeds import derive_seed
from pipeline.vocabulary import MODELS

Network = Any
"""A ``SAM2Base``: ``sam2`` ships no types, and only ``pipeline.sam`` imports it."""

STRIDE: Final = 16
"""Pixels a side that the image embedding takes together."""

N_TAUGHT_AT_ONCE: Final = 2
"""Members that learn from a batch at the same time, each in a thread of its own."""


@dataclass(frozen=True)
class Score:
    """How a member fared in a step, before it learned from it."""

    step: int
    model: str
    loss: float
    best_iou: float
    selected_iou: float


def mean_scores(scores: Sequence[Score]) -> list[Score]:
    """Mean scores of each model, in the order in which they come, under its last step."""
    by_model: dict[str, list[Score]] = {}
    for score in scores:
        by_model.setdefault(score.model, []).append(score)
    return [
        Score(
            own[-1].step,
            model,
            fmean(score.loss for score in own),
            fmean(score.best_iou for score in own),
            fmean(score.selected_iou for score in own),
        )
        for model, own in by_model.items()
    ]


class Training:
    """Members of the family in the middle of a recipe.

    The same recipe gives the same weights, whether or not the state was taken out and put into
    another ``Training`` on the way.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.step = 0
        """Steps done; the number of the next one."""
        self.models: dict[str, Network] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}

    @property
    def is_done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.recipe.n_steps

    def learn(self, batch: Batch) -> list[Score]:
        """Take the next step, with each member of its phase.

        Raises
        ------
        ValueError
            If no step is left.
        FloatingPointError
            If a loss is not a number; the member is named and has not learned from it.
        """
        phase, within = self.recipe.at(self.step)
        if set(phase.members) != set(self.models):
            self._enter(phase.members)
        rates = {name: _rate(name, learning_rate(phase, within)) for name in phase.members}
        with ThreadPoolExecutor(N_TAUGHT_AT_ONCE) as pool:
            # The largest first: a long lesson begun last would be waited for alone.
            lessons = {
                name: pool.submit(self._teach, name, batch, phase, rates[name])
                for name in reversed(phase.members)
            }
        scores = [lessons[name].result() for name in phase.members]
        self.step += 1
        return scores

    def _teach(self, name: str, batch: Batch, phase: Phase, rate: float) -> Score:
        optimizer = self._optimizers[name]
        self.models[name].image_encoder.requires_grad_(not phase.is_encoder_frozen)
        logits, sam_score = forward(self.models[name], batch)
        mask = torch.from_numpy(batch.mask).float()
        lesson = assess(logits, sam_score, mask, phase.criterion)
        loss = lesson.loss.item()
        if not isfinite(loss):
            raise FloatingPointError(
                f"loss of {name} must be finite, got {loss} at step {self.step}"
            )
        for group in optimizer.param_groups:
            group["lr"] = rate
        _descend(lesson.loss, optimizer, self.recipe.clip_norm)
        return Score(self.step, name, loss, lesson.best_iou, lesson.selected_iou)

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on, apart from the recipe."""
        return {
            "step": self.step,
            "models": {name: model.state_dict() for name, model in self.models.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self._optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was taken, under the same recipe."""
        for name, weights in state["models"].items():
            self._add(name, weights)
            self._optimizers[name].load_state_dict(state["optimizers"][name])
        self.step = state["step"]

    def image_path_weights(self) -> dict[str, dict[str, np.ndarray]]:
        """Weights of each model that segment an image, in single precision."""
        return {
            name: {
                key: value.numpy(force=True)
                for key, value in model.state_dict().items()
                if key.startswith(IMAGE_PATH)
            }
            for name, model in self.models.items()
        }

    def _enter(self, members: tuple[str, ...]) -> None:
        """Begin the first phase of these members: all grow from the same one, and start alike."""
        fresh = {name: _fresh_weights(name, self.recipe) for name in members}
        if self.models:
            seedling, model = next(iter(self.models.items()))
            weights = model.state_dict()
            fresh = {
                name: grow(
                    weights,
                    own,
                    small=MINI_TRUNKS[seedling],
                    large=MINI_TRUNKS[name],
                    generator=torch.Generator().manual_seed(_seed(self.recipe, "grow", name)),
                )
                for name, own in fresh.items()
            }
        else:
            fresh = {name: attentive(own) for name, own in fresh.items()}
        self.models, self._optimizers = {}, {}
        for name, own in fresh.items():
            self._add(name, own)

    def _add(self, name: str, weights: dict[str, Tensor]) -> None:
        model = build("mini", name, seed=0)
        model.load_state_dict(weights)
        self.models[name] = model
        self._optimizers[name] = _optimizer(model, self.recipe)


def forward(
    model: Network, batch: Batch
) -> tuple[Float[Tensor, "row 3 y x"], Float[Tensor, "row 3"]]:
    """Logits and SamScores of a batch, with gradients; the model takes on its image size."""
    _resize(model, batch.rgb.shape[1])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    pixels = torch.from_numpy(batch.rgb).permute(0, 3, 1, 2).float() / 255
    levels = model.forward_image((pixels - mean) / std)["backbone_fpn"]
    levels[-1] = levels[-1] + model.no_mem_embed.view(1, -1, 1, 1)
    n_objects = len(batch.mask) // len(batch.rgb)
    first, second, image = (level.repeat_interleave(n_objects, dim=0) for level in levels)
    points = torch.from_numpy(batch.point_px)
    labels = torch.ones(points.shape[:2], dtype=torch.int32)
    sparse, dense = model.sam_prompt_encoder((points, labels), boxes=None, masks=None)
    logits, sam_score, _, _ = model.sam_mask_decoder(
        image_embeddings=image,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        repeat_image=False,
        high_res_features=[first, second],
    )
    return logits, sam_score


def _resize(model: Network, size_px: int) -> None:
    """Make a model take images of another size; no weight depends on it."""
    model.image_size = size_px
    model.sam_prompt_encoder.input_image_size = (size_px, size_px)
    model.sam_prompt_encoder.image_embedding_size = (size_px // STRIDE, size_px // STRIDE)


def _descend(loss: Float[Tensor, ""], optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()


def _optimizer(model: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the image path; biases, norms and embeddings of one dimension do not decay."""
    parameters = [p for name, p in model.named_parameters() if name.startswith(IMAGE_PATH)]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=recipe.betas, fused=True)


def _rate(name: str, rate: float) -> float:
    """Learning rate of a member, lower for a wider one: its steps add up over more channels."""
    return rate * sqrt(MINI_TRUNKS[MODELS[0]].width / MINI_TRUNKS[name].width)


def _fresh_weights(name: str, recipe: Recipe) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = build("mini", name, seed=_seed(recipe, "build", name)).state_dict()
    return weights


def _seed(recipe: Recipe, what: str, name: str) -> int:
    return derive_seed(recipe.batches.seed, what, name) >> 1  # PyTorch's seeds are signed
