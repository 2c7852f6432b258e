"""``python -m tools.family``: trains the embedded SAM2 models.

Reads   ``cache/work/family``, where an earlier run was stopped.
Writes  ``storage/checkpoints/mini_weights``, ``storage/checkpoints/mini.csv``; on the way,
        ``cache/work/family``.
"""

from stages.program.main import reported_errors
from stages.program.stopping import stoppable
from storage.checkpoints.weights import weights_path
from tools.family.publishing import publish_mini
from tools.family.recipe import RECIPE
from tools.family.run import SAVE_EVERY_S, STATE, train_family
from tools.family.state import write_curve


def main() -> None:
    """Train the mini models, from where an earlier run was stopped, and list their weights."""
    with reported_errors():
        with stoppable(f"the training is kept in {STATE}, up to {SAVE_EVERY_S:.0f} s ago"):
            training, curve = train_family(RECIPE, STATE)
        publish_mini(training.image_path_weights())
        write_curve(weights_path("mini", "tiny").with_name("curve.csv"), curve)
    for model in training.models:
        print(f"{weights_path('mini', model)} is trained and listed")


if __name__ == "__main__":
    main()
