"""Show a facilitator how the pairs fare, from their logs and nothing else."""
