"""One file per DVC stage, and what stages and commands share on top of the other two packages."""

import os
import sys
import warnings
from importlib.util import find_spec

from stages.program.stopping import listen, write_any_text
from storage.extras import EXTRAS, absent

# OpenMP reads this when torch is loaded. By default its threads spin while they wait. With the
# threads that read and write (or other people's work) beside them, that made extraction on two busy
# cores eight times slower than sleeping does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Pillow warns of images of more than 89 million pixels, without saying what to do; those of twice
# as many are refused. Filters of the user come before this one.
warnings.filterwarnings("ignore", "Image size .* decompression bomb", append=True)

# What Python has there while it looks for the module of `python -m stages.<stage>`, whose imports
# take seconds.
if sys.argv[0] == "-m":
    if find_spec("zarr") is None:  # DVC runs the python of the PATH
        sys.exit(
            "error: python must be that of the environment where usam-cache is installed, got "
            f"{sys.executable}: activate it first (source .venv/bin/activate)"
        )
    for module in EXTRAS["predict"]:  # as these are imported before a stage's own work begins
        if find_spec(module) is None:
            sys.exit(f"error: {absent(module)}")
    write_any_text()
    listen()
