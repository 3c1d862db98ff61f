"""Leave out what a server does while it starts and nothing here needs: import this first.

It was a second of every start and more; a room of pairs starts all of its servers at once.
"""

import sys

# jsonschema builds a grammar for addresses in other scripts than Latin: no schema here holds one.
sys.modules.setdefault("rfc3987_syntax", None)

from jupyterlab import commands  # noqa: E402

# JupyterLab asks Node.js where extensions are downloaded from: none is built here.
commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}
