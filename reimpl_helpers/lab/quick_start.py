"""Leave out what a server does while it starts and nothing here needs: import this first.

It was a second of every start and more; a room of pairs starts all of its servers at once.
"""

from reimpl_helpers.base import quick_start  # noqa: F401

# isort: split
from jupyterlab import commands

# JupyterLab asks Node.js where extensions are downloaded from: none is built here.
commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}
