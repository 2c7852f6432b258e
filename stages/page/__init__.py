"""The HTML report: figures, labels, template."""
