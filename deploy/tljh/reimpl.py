"""Let The Littlest JupyterHub serve a workshop: a file for its jupyterhub_config.d folder."""

import sys
from pathlib import Path

WORKBOOK = Path("/opt/reimpl")  # this project, with its .venv
ROSTER = Path("/opt/tljh/config/roster.csv")
CODES = Path("/opt/tljh/state/codes")
ADDRESS = "http://workshop.example.org"  # yours; it stands on the cards with the codes

sys.path.append(str(WORKBOOK))
from reimpl_helpers.hub.shared_config import configure  # noqa: E402

CODES.mkdir(mode=0o700, exist_ok=True)
configure(c, ROSTER, CODES, ADDRESS)  # noqa: F821
c.Spawner.cmd = [str(WORKBOOK / ".venv/bin/python"), "-P", "-m", "reimpl_helpers.hub.server"]  # noqa: F821
c.SystemdSpawner.mem_limit = "3G"  # noqa: F821
c.SystemdSpawner.cpu_limit = 2.0  # noqa: F821
