"""``python -m stages.cli`` is ``usam``."""

from stages.cli.app import app

app()
