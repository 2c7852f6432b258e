"""Reads ``params.yaml`` as typed settings, and derives cells and signatures of stores from them."""
