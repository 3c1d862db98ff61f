"""Let JAX compute the same on every machine, and find what it compiled before."""

import os
from pathlib import Path

from reimpl_helpers.notebooks import STABLE

worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
cache = Path(STABLE["JAX_COMPILATION_CACHE_DIR"]) / worker  # JAX warns where two write to one
os.environ.update(STABLE, JAX_COMPILATION_CACHE_DIR=str(cache))
