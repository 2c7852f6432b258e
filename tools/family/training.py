"""Training of the mini models, one step at a time; its state can be saved and resumed."""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.sam.building import IMAGE_PATH, build, fit_weights
from pipeline.sam.families import FAMILIES, MINI_TRUNKS, MiniTrunk
from pipeline.seeds import derive_seed
from stages.extraction.models import read_weights
from storage.checkpoints.weights import verified_weights
from tools.family.batches import Batch
from tools.family.forward import Network
from tools.family.recipe import Phase, Recipe, learning_rate
from tools.family.rounds import batch_loss
from tools.family.starts import attentive, grown, versatile

ENCODER: Final = "image_encoder."
"""Prefix of the weights in which the members differ from the start."""

TRUNK_READERS: Final = (f"{ENCODER}trunk.blocks.", f"{ENCODER}neck.convs.")
"""Layers whose inputs are the trunk's channels, of which larger members have more."""

RATED_WIDTH: Final = 8
"""Channels of a trunk that learns at the same rate as the rest of its model."""


MapMembers = Callable[[Callable[[str], float], Iterable[str]], Iterable[float]]


class Training:
    """Members of the family partway through a recipe; all learn from the same batches.

    The same recipe gives the same weights, whether or not the state was moved to another
    ``Training`` on the way.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.step = 0
        """Steps done, which is the number of the next one."""
        self.models = {
            name: _start(name, recipe) if recipe.starts is None else _grow(name, recipe)
            for name in trunks(recipe.family)
        }
        self._optimizers = {
            name: _optimizer(name, model, recipe) for name, model in self.models.items()
        }

    @property
    def is_done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.recipe.n_steps

    def learn(self, batch: Batch, map_members: MapMembers = map) -> dict[str, float]:
        """Take the next step, with every member, and return their losses before it.

        Parameters
        ----------
        map_members
            Trains the members; the ``map`` of a thread pool trains several at once, to the same
            weights.

        Raises
        ------
        ValueError
            If no step is left.
        FloatingPointError
            If a loss is not finite. Names the member, which has not learned from it; others may
            have.
        """
        phase, within = self.recipe.at(self.step)
        rate = learning_rate(phase, within)
        if phase.is_anew and within == 0:
            self._begin_anew(versatile if phase.is_made_versatile else dict)
        # The largest first: a long lesson begun last would leave the other threads idle.
        names = list(reversed(self.models))
        losses = map_members(lambda name: self._teach(name, batch, phase, rate), names)
        by_name = dict(zip(names, losses, strict=True))
        self.step += 1
        return by_name

    def _teach(self, name: str, batch: Batch, phase: Phase, rate: float) -> float:
        optimizer = self._optimizers[name]
        self.models[name].image_encoder.requires_grad_(not phase.is_encoder_frozen)
        loss = batch_loss(self.models[name], batch, phase.criterion, phase.gain_weight)
        if not isfinite(loss.item()):
            raise FloatingPointError(
                f"loss of {name} must be finite, got {loss.item()} at step {self.step}"
            )
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        _descend(loss, optimizer, self.recipe.clip_norm)
        return loss.item()

    def _begin_anew(self, changed: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
        for name, model in self.models.items():
            published = {
                key: value.half().float() if key.startswith(IMAGE_PATH) else value
                for key, value in model.state_dict().items()
            }
            model.load_state_dict(changed(published))
            self._optimizers[name] = _optimizer(name, model, self.recipe)

    def state_dict(self) -> dict[str, Any]:
        """Everything the rest of the training depends on, apart from the recipe."""
        return {
            "step": self.step,
            "models": {name: model.state_dict() for name, model in self.models.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self._optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from where ``state_dict`` was taken, under the same recipe."""
        for name, model in self.models.items():
            model.load_state_dict(state["models"][name])
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


def _descend(loss: Float[Tensor, ""], optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()


def trunks(family: str) -> dict[str, MiniTrunk]:
    """The image encoder of each model of an embedded family."""
    models = FAMILIES[family].models.items()
    return {name: trunk for name, trunk in models if isinstance(trunk, MiniTrunk)}


def _grow(name: str, recipe: Recipe) -> Network:
    """Build a member that computes what a published model of ``mini`` does."""
    seed = derive_seed(recipe.batches.seed, "build", name) >> 1
    model = build(recipe.family, name, seed=seed)
    start = (recipe.starts or {})[name]
    path, _ = verified_weights("mini", start)
    weights = {key: weight.float() for key, weight in read_weights(path).items()}
    larger = grown(weights, MINI_TRUNKS[start], trunks(recipe.family)[name], seed)
    fit_weights(model, larger, source=f"mini {start}")
    return model


def _start(name: str, recipe: Recipe) -> Network:
    """Build a member whose decoder looks at the click.

    It shares all but the image encoder with the others: in the first phases, members would differ
    more by the seeds of their decoders than by the sizes of their trunks.
    """
    # PyTorch's seeds are signed.
    model = build("mini", name, seed=derive_seed(recipe.batches.seed, "build", name) >> 1)
    seed = derive_seed(recipe.decoder_seed, "build") >> 1
    shared = build("mini", next(iter(MINI_TRUNKS)), seed=seed).state_dict()
    weights = {
        key: value if key.startswith(ENCODER) else shared[key]
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(attentive(weights))
    return model


def _optimizer(name: str, model: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the image path; biases, norms and embeddings of one dimension do not decay.

    Notes
    -----
    Matrices that read the trunk's channels learn at a rate that falls with the number of channels,
    over which the steps of their weights add up (Yang, Hu et al. 2021, "Tensor Programs V",
    table 3, Adam); all others learn at the same rate in every member. At one rate for all, wide
    trunks fall behind narrow ones.
    """
    narrowness = RATED_WIDTH / trunks(recipe.family)[name].width
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for key, parameter in model.named_parameters():
        if key.startswith(IMAGE_PATH):
            is_matrix = parameter.ndim > 1
            share = narrowness if is_matrix and key.startswith(TRUNK_READERS) else 1.0
            decay = recipe.weight_decay if is_matrix else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "share": share}
            for (share, decay), parameters in groups.items()
        ],
        betas=recipe.betas,
        fused=True,
    )
