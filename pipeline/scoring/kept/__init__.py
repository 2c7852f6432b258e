"""Promises about kept masks: thresholds by a measure, checked on images that did not set them."""
