"""Have JAX compile quickly: what is judged runs once, and compiling is the wait."""

import contextlib
import functools
import os
import sys
from importlib import metadata
from pathlib import Path

from reimpl_helpers.base.places import ROOT

QUICK_FLAGS = "--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"
JAXLIB = "0.10.2"  # the version that these flags, and one_context, were tried with


# --- in the environment of a process --------------------------------------------------------


def compilation_cache(folder: Path) -> dict[str, str]:
    """Say where JAX finds what it compiled before; who may not write there adds nothing."""
    is_ours = os.access(folder if folder.exists() else folder.parent, os.W_OK)
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0" if is_ours else "1e9",  # else it warns
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",  # or the folder becomes part of the key
    }


@functools.cache
def is_tried() -> bool:
    return metadata.version("jaxlib") == JAXLIB


def compiler_flags() -> str:
    """Have XLA compile in half the time, what then runs about as fast.

    A jaxlib that does not know a flag ends the process: only one that was tried is given any.
    """
    return " ".join(QUICK_FLAGS) if is_tried() else ""


COMPILATION = {
    **compilation_cache(ROOT / ".jax_cache"),
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # or each program holds whence each line of it came
    "XLA_FLAGS": compiler_flags(),
}


# --- for a while ----------------------------------------------------------------------------


@contextlib.contextmanager
def float64_in_jax():
    """Let JAX compute in float64 inside, as the original was recorded, and compile quickly."""
    if "jax" not in sys.modules:
        yield
        return
    with compiled_quickly(), sys.modules["jax"].enable_x64(True):
        yield


@contextlib.contextmanager
def compiled_quickly():
    """Let JAX optimize little inside, and write all its programs in one context."""
    if "jax" not in sys.modules:
        yield
        return
    config, option = sys.modules["jax"].config, "jax_disable_most_optimizations"
    before = config.read(option)
    config.update(option, True)
    try:
        with one_context():
            yield
    finally:
        config.update(option, before)


@contextlib.contextmanager
def one_context():
    """Keep JAX from making a new MLIR context for each program, and so for each operation.

    That takes two milliseconds, a third of what a test takes that computes a model's gradients
    operation by operation. A context may hold many programs, and be used by many threads.
    """
    if not is_tried():
        yield
        return
    mlir = sys.modules["jax._src.interpreters.mlir"]
    before, mlir.make_ir_context = mlir.make_ir_context, functools.cache(mlir.make_ir_context)
    try:
        yield
    finally:
        mlir.make_ir_context = before
