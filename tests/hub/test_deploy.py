"""A hub on Kubernetes and on The Littlest JupyterHub lets the same people in as on one machine.

No cluster is here, and no such machine: a real hub loads the files that are deployed there.
"""

import json
import os
from importlib.util import find_spec

import jsonschema
import pytest
import yaml

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)

from hub_machine import Hub, Visitor, hub_machine, open_folder, readable_venv

from reimpl_helpers.base.places import ROOT
from reimpl_helpers.hub.start import PROXY

pytestmark = pytest.mark.slow
KUBERNETES, TLJH = ROOT / "deploy/kubernetes", ROOT / "deploy/tljh/reimpl.py"
VALUES = yaml.safe_load((KUBERNETES / "values.yaml").read_text("utf-8"))
SCHEMA = yaml.safe_load((ROOT / "tests/hub/chart_schema.yaml").read_text("utf-8"))
ROSTER = "name,pair\nAda,first\nGrace,first\nJoan,second\nIda,second\nMary,facilitator\n"

# What the chart's own configuration does before it runs hub.extraConfig, as far as it matters.
CHART = """
import sys
sys.path.insert(0, {folder!r})
from z2jh import get_config
c.JupyterHub.template_paths = get_config("hub.templatePaths", [])
c.JupyterHub.services, c.JupyterHub.load_roles = [], []
c.JupyterHub.authenticator_class = "dummy"
for name, snippet in sorted(get_config("hub.extraConfig", {{}}).items()):
    exec(snippet)
"""
Z2JH = """
import json
from pathlib import Path

VALUES = json.loads(Path(__file__).with_name("values.json").read_text())

def get_config(key, default=None):
    found = VALUES
    for part in key.split("."):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found or default
"""
# And what that of The Littlest JupyterHub does.
LITTLEST = """
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.admin_users = set()
c.Authenticator.allowed_users = set()
load_subconfig({snippet!r})
"""
HERE = """
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.bind_url = {address!r}
c.JupyterHub.hub_port = {port} + 2
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.log_level = "ERROR"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{{{port} + 1}}"
c.ConfigurableHTTPProxy.command = [{proxy!r}, "--log-level=error"]
"""


class Deployed(Hub):
    """A hub that loads what is deployed elsewhere, with the paths of elsewhere put here."""

    def __init__(self, folder, kind: str):
        super().__init__(folder, readable_venv(folder))
        self.state, self.kind = folder, kind

    def command(self, trusted: bool) -> list:
        config = self.folder / "jupyterhub_config.py"
        here = HERE.format(address=self.address, port=self.port, proxy=str(PROXY))
        config.write_text(getattr(self, self.kind)() + here)
        return [self.python, "-P", "-m", "jupyterhub", f"--config={config}"]

    def kubernetes(self) -> str:
        """Put the values where the chart's own configuration looks for them."""
        places = {"/etc/reimpl": self.folder, "/srv/jupyterhub": self.folder}
        (self.folder / "values.json").write_text(moved(json.dumps(VALUES), places))
        (self.folder / "z2jh.py").write_text(Z2JH)
        return CHART.format(folder=str(self.folder))

    def tljh(self) -> str:
        """Put the file where The Littlest JupyterHub looks for it."""
        places = {"/opt/reimpl": ROOT, "/opt/tljh/config": self.folder}
        places["/opt/tljh/state/codes"] = self.state
        snippet = self.folder / "reimpl.py"
        snippet.write_text(moved(TLJH.read_text("utf-8"), places))
        return LITTLEST.format(snippet=str(snippet))


def moved(text: str, places: dict) -> str:
    for there, here in places.items():
        assert there in text
        text = text.replace(there, str(here))
    return text


@pytest.fixture(scope="module", params=["machine", "kubernetes", "tljh"])
def hub(request):
    if request.param == "machine":
        with hub_machine() as hub:
            yield hub.start(ROSTER)
        return
    with open_folder() as folder:
        hub = Deployed(folder, request.param)
        try:
            yield hub.start(ROSTER)
        finally:
            hub.stop()


def seen_by(hub, name: str) -> dict:
    """Log somebody in; return what the hub says of them, and which accounts they may see."""
    visitor = Visitor(hub, name)
    visitor.log_in(then="/hub/home").raise_for_status()
    api = f"{hub.address}/hub/api"
    me = visitor.get(f"{api}/user", timeout=30).json()
    accounts = "pair-first", "pair-second"
    me["sees"] = [a for a in accounts if visitor.get(f"{api}/users/{a}", timeout=30).ok]
    landing = visitor.get(f"{hub.address}/hub/", allow_redirects=False, timeout=30)
    return {**me, "landing": landing.headers["Location"]}


def entering(whose: str) -> set[str]:
    """List what it takes to start some servers and go in, as the hub spells it out."""
    scopes = "access:servers", "servers", "read:servers", "start:servers", "delete:servers"
    return {f"{scope}!{whose}" for scope in (*scopes, "read:users:name")}


def of_others(me: dict) -> set[str]:
    """List what somebody may do beyond naming themselves: they have no server and no token."""
    own = "read:users:name", "read:users:groups", "read:users:activity", "users:activity"
    return set(me["scopes"]) - {f"{scope}!user={me['name']}" for scope in own}


@pytest.mark.parametrize(("name", "pair"), [("Ada", "first"), ("Ida", "second")])
def test_people_get_into_their_own_pair_and_no_other(hub, name, pair):
    me = seen_by(hub, name)
    assert of_others(me) == entering(f"user=pair-{pair}") and not me["admin"]
    assert me["sees"] == [f"pair-{pair}"]
    assert me["landing"].endswith(f"/hub/spawn/pair-{pair}")


def test_the_facilitator_gets_into_every_pair(hub):
    me = seen_by(hub, "Mary")
    more = {"list:users!group=pairs", "access:services!service=board"}
    assert of_others(me) == entering("group=pairs") | more and not me["admin"]
    assert me["sees"] == ["pair-first", "pair-second"]
    assert me["landing"].endswith(("/services/board/", "/hub/home"))


def test_who_does_not_stand_in_the_roster_does_not_come_in(hub):
    assert Visitor(hub, "Eve").log_in("aaaa-bbbb-cccc").status_code == 403


# --- what the chart takes ---


def test_the_chart_takes_every_value():
    jsonschema.validate(VALUES, SCHEMA)
