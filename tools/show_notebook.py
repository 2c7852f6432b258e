"""Writes the notebook ``docs/predict.ipynb`` and runs it: ``make results``.

Reads   the weights and heads that ship.
Writes  ``docs/predict.ipynb``, with what its cells print and draw.
"""

from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT: Final = Path(__file__).parents[1]

NOTEBOOK: Final = ROOT / "docs" / "predict.ipynb"

CELLS: Final = (
    """# When to trust a mask, when to click again, when to ask a person

A predictor of the `mini` family, with the heads that ship, looks at drawn scenes that neither has
seen. It gets one click in the centre of each object. Of the drawn objects we know the true masks,
and so whether the advice was any good; of an image of your own, you have the advice alone.

`python -m tools.show_notebook` writes this notebook and runs it.""",
    """from PIL import Image

from pipeline.predictor.pictures import draw_entropy, draw_mask
from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import draw_scene, scene_seeds
from usam_cache import load_predictor

predictor = load_predictor("mini", "tiny")
cases = {}
for seed in scene_seeds(0, "val", 12):
    scene = draw_scene(seed, 256)
    predictor.set_image(scene.rgb)
    for truth in scene.masks:
        clicks = sample_prompts(truth, seed=0)  # the centre first, seven more behind it
        found = predictor.predict_uncertainty(clicks[:1], [1])
        cases.setdefault(found.advice.correction, (scene.rgb, truth, clicks, found))


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def tell(found, truth):
    k = found.selected
    print(f"SamScore {found.sam_score[k]:.2f}, expected IoU {found.expected_iou.own[k]:.2f}")
    print(f"advice: {found.advice.words}, then {found.advice.expected_iou:.2f} is expected")
    print(f"true IoU {iou(found.masks[k], truth):.2f}")


def show(rgb, found, clicks):
    k = found.selected
    on = [tuple(map(float, click)) for click in clicks]
    mask, bits = draw_mask(rgb, found.masks[k], on=on), draw_entropy(rgb, found.pixel_entropy[k])
    strip = Image.new("RGB", (2 * rgb.shape[1] + 8, rgb.shape[0]), "white")
    strip.paste(Image.fromarray(mask))
    strip.paste(Image.fromarray(bits), (rgb.shape[1] + 8, 0))
    return strip.quantize(48)  # fewer colours make a smaller file""",
    """## Trust it

No correction is expected to gain more than it costs: the advice is to keep the mask. On the right,
the pixels that the model is unsure of: a thin line along the outline.""",
    """rgb, truth, clicks, found = cases["keep"]
predictor.set_image(rgb)
tell(found, truth)
show(rgb, found, clicks[:1])""",
    """## Click again

Here the heads expect more of eight clicks than of another proposal, and more than clicking costs,
0.05 of IoU by default.""",
    """rgb, truth, clicks, found = cases["prompt"]
tell(found, truth)
show(rgb, found, clicks[:1])""",
    """So we click again, on seven more places of the object:""",
    """predictor.set_image(rgb)
refined = predictor.predict_uncertainty(clicks, [1] * len(clicks))
tell(refined, truth)
show(rgb, refined, clicks)""",
    """## Ask a person

A person costs most, 0.3 of IoU by default, and is expected to gain more than that; nothing else is
expected to gain as much beyond its cost.""",
    """rgb, truth, clicks, found = cases["segmentation"]
tell(found, truth)
show(rgb, found, clicks[:1])""",
    """Where a decision costs much, the entropies over views, clicks and models are a second
opinion, which takes more passes:""",
    """predictor.set_image(rgb)
others = [load_predictor("mini", model).sam for model in ("small", "base_plus", "large")]
bayesian = predictor.predict_bayesian(clicks[:1], [1], others=others)
print(f"H_T {bayesian.h_t:.2f}, H_Xp {bayesian.h_xp:.2f}, H_Theta {bayesian.h_theta:.2f} bits")
print(f"{bayesian.cost.n_encodes} encodings and {bayesian.cost.n_decodes} decodings")""",
)
"""Text and code, in turn after the heading."""

CODE: Final = ("from ", "rgb, ", "predictor.")
"""How cells of code begin."""


def main() -> None:
    """Write the notebook anew."""
    text = nbformat.writes(run(notebook()))  # type: ignore[no-untyped-call]
    NOTEBOOK.write_text(f"{text}\n", encoding="utf-8")


def notebook() -> NotebookNode:
    """The cells, not run; their ids are their places, so that a new run changes no other line."""
    cells: list[dict[str, Any]] = []
    for i, text in enumerate(CELLS):
        cell = {"id": f"cell-{i}", "metadata": {}, "source": text}
        if text.startswith(CODE):
            cells.append({**cell, "cell_type": "code", "execution_count": None, "outputs": []})
        else:
            cells.append({**cell, "cell_type": "markdown"})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    node: NotebookNode = nbformat.from_dict({**content, "nbformat_minor": 5})  # type: ignore[no-untyped-call]
    return node


def run(unrun: NotebookNode) -> NotebookNode:
    """The notebook with its outputs; what depends on the day or the machine is left out."""
    here = {"metadata": {"path": str(ROOT)}}
    done = NotebookClient(unrun, timeout=600, record_timing=False, resources=here).execute()
    done.metadata = {"kernelspec": done.metadata["kernelspec"]}
    return done


if __name__ == "__main__":
    main()
