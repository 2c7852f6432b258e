"""One file per DVC stage, plus the command line: wires ``storage`` and ``pipeline``."""

import os
import sys

from stages.shell.stopping import listen

# OpenMP reads this when torch is loaded. By default its threads spin while they wait. With the
# threads that read and write (or other people's work) beside them, that made extraction on two busy
# cores eight times slower than sleeping does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What Python has there while it looks for the module of `python -m stages.<stage>`, whose imports
# take seconds.
if sys.argv[0] == "-m":
    listen()
