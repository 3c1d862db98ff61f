"""Run the doctor."""

import sys

from reimpl_helpers import cli

sys.exit(cli.main(["doctor"]))
