"""The stages of DVC, one file each, and the code that stages and commands share."""

import sys

from stages.program.stopping import begin_stage

# ``python -m stages.<stage>`` imports this package first, then the stage, which takes seconds.
# During both imports the first argument is "-m"; it is also "-m" while a program of another package
# imports this package.
if sys.argv[:1] == ["-m"]:
    _module = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    if _module.startswith("stages."):
        begin_stage()
