"""Reads and writes outputs that are neither stores nor heads: results, tuning, COCO results."""
