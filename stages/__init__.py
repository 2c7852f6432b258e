"""One file per DVC stage, plus the command line: wires ``storage`` and ``pipeline``."""

import os

# OpenMP reads this when torch is loaded. Its threads spin while they wait, by default; beside the
# threads that read and write (or other people's work) that made extraction on two busy cores eight
# times slower than sleeping does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
