"""Show a facilitator how the pairs fare, from their logs and nothing else."""

CONFIRMED = ".confirmed"  # a folder beside the logs, with what was judged of each
