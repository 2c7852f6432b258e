"""The HTML page of the report: its figures, labels and template."""
