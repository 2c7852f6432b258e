"""Predictors behind annotation tools: docs/annotate.md."""
