"""One file per DVC stage, plus the command line: wires ``storage`` and ``pipeline``."""
