"""One file per DVC stage, and what stages and commands share on top of the other two packages."""

import sys

from stages.program.stopping import begin_stage

# ``python -m stages.<stage>`` imports this package first, then the stage, which takes seconds. The
# first argument is "-m" meanwhile, and also while a program of another package imports this one.
if sys.argv[:1] == ["-m"]:
    _module = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    if _module.startswith("stages."):
        begin_stage()
