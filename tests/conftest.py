"""Settings that hold for every test."""

import os

import hypothesis

# Two test processes on two cores: more threads than cores would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Weights in the cache of who runs the tests are not to be found.
os.environ["HF_HUB_CACHE"] = os.devnull

hypothesis.settings.register_profile("usam", deadline=None, derandomize=True)
hypothesis.settings.load_profile("usam")
