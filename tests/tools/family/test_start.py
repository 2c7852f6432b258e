"""The first model's start: a click tells where it is."""

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.sam.building import build
from tools.family.training import NECK_SCALE, attentive

BUILT = build("mini", "tiny", seed=4).state_dict()
STARTED = attentive(BUILT)


def test_only_the_decoders_attention_the_neck_and_the_prompts_change() -> None:
    changed = {name for name, value in BUILT.items() if not torch.equal(value, STARTED[name])}
    assert list(STARTED) == list(BUILT)
    assert all(
        any(part in name for part in ("_attn", "neck.convs", "sam_prompt_encoder"))
        for name in changed
    )
    assert not any("self_attn" in name or "v_proj" in name for name in changed)
    neck = "image_encoder.neck.convs.0.conv.weight"
    assert torch.equal(STARTED[neck], NECK_SCALE * BUILT[neck])


def test_the_weights_that_it_was_given_stay_as_they_were() -> None:
    weights = {name: value.clone() for name, value in BUILT.items()}
    for value in attentive(weights).values():
        value.add_(1)
    assert all(torch.equal(value, weights[name]) for name, value in BUILT.items())


def test_a_click_attends_most_to_its_own_place() -> None:
    assert own_place_share(STARTED) > 0.9
    assert own_place_share(BUILT) < 0.5


def own_place_share(weights: dict[str, Tensor]) -> float:
    """Places whose attention peaks at most one place away from them."""
    model = build("mini", "tiny", seed=4)
    model.load_state_dict(weights)
    model.eval()
    pe: Float[Tensor, "channel y x"] = model.sam_prompt_encoder.get_dense_pe()[0]
    places = pe.flatten(1).T
    attention = model.sam_mask_decoder.transformer.layers[0].cross_attn_token_to_image
    with torch.no_grad():
        products = attention.q_proj(places) @ attention.k_proj(places).T
    peak = products.argmax(dim=1)
    n_cols = pe.shape[2]
    rows = torch.arange(len(places))
    away = torch.maximum(
        (peak // n_cols - rows // n_cols).abs(), (peak % n_cols - rows % n_cols).abs()
    )
    return float((away <= 1).float().mean())
