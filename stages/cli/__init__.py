"""The command line, ``usam``."""
