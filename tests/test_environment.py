"""The files that make the environment agree with pyproject.toml, and `make` installs with care."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
FLOOR = PYPROJECT["project"]["requires-python"].removeprefix(">=")
PYTHONS = [
    text.removeprefix("Programming Language :: Python :: ")
    for text in PYPROJECT["project"]["classifiers"]
]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
MATRIX = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]

PLATFORMS = {
    "linux": {"os_name": "posix", "platform_system": "Linux"},
    "darwin": {"os_name": "posix", "platform_system": "Darwin"},
    "win32": {"os_name": "nt", "platform_system": "Windows"},
}


# ---- requirements.lock


def locked(text, environment=None):
    """Return the locked version of every package that this environment installs."""
    heads = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if line[:1].isalnum()]
    wanted = [head for head in heads if not head.marker or head.marker.evaluate(environment)]
    return {canonicalize_name(head.name): str(head.specifier).lstrip("=") for head in wanted}


def unmet(requirements, versions):
    """Return the requirements for which no locked version will do."""
    missing = []
    for text in requirements:
        requirement = Requirement(text)
        version = versions.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            missing.append(text)
    return missing


def odd_lines(text):
    """Return what is neither a comment, nor an exact version followed by hashes, nor a hash."""
    version = re.compile(r"[a-z0-9][a-z0-9-]*==[\w.]+( ; [^@/]+)? \\")
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    comment = re.compile(r" *#(?!.*[:/]/).*")
    odd, before = [], ""
    for line in text.splitlines():
        hashes_follow = before.endswith("\\")
        pattern = digest if hashes_follow else version
        if not pattern.fullmatch(line) and (hashes_follow or not comment.fullmatch(line)):
            odd.append(line)
        before = line
    return odd


@pytest.mark.parametrize("python", MATRIX["python"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_lock_meets_every_requirement(platform, python):
    environment = default_environment() | PLATFORMS[platform]
    environment |= {"sys_platform": platform, "python_version": python}
    environment |= {"python_full_version": f"{python}.0"}
    requirements = PYPROJECT["project"]["dependencies"] + EXTRAS["test"]
    requirements += PYPROJECT["build-system"]["requires"]
    assert unmet(requirements, locked(LOCK, environment)) == []


def test_a_lock_left_behind_is_noticed():
    versions = locked("numpy==2.4.6 \\\nwinpty==1.0 ; sys_platform == 'no such'  \\\n")
    assert versions == {"numpy": "2.4.6"}
    assert unmet(["numpy>=2.4", "numpy>=2.5", "winpty", "jax"], versions) == [
        "numpy>=2.5",
        "winpty",
        "jax",
    ]


def test_every_line_of_the_lock_is_an_exact_version_with_hashes():
    assert odd_lines(LOCK) == []
    assert len(locked(LOCK)) > 50


SHA = "    --hash=sha256:" + 64 * "0"


@pytest.mark.parametrize(
    "text",
    [
        "numpy==2.4.6",
        "numpy>=2.4 \\\n" + SHA,
        "numpy==2.4.6 \\\n" + SHA[:-1],
        "numpy==2.4.6 \\\n# no hash",
        "numpy @ file:numpy.whl \\\n" + SHA,
        "-e .",
        "--find" + "-links wheels",
        "# see https:" + "//example.org",
    ],
)
def test_a_line_that_pins_nothing_is_noticed(text):
    assert odd_lines("numpy==2.4.6 \\\n" + SHA) == []
    assert odd_lines(text)


def test_security_floor_of_jupyter_server():
    asked = {r.name: r.specifier for r in map(Requirement, PYPROJECT["project"]["dependencies"])}
    assert "2.19.99" not in asked["jupyter-server"]
    assert locked(LOCK)["jupyter-server"] in SpecifierSet(">=2.20")


def test_pytorch_is_one_version_and_only_an_extra():
    assert "torch" not in locked(LOCK)
    assert [text for text in EXTRAS["torch"] if text.startswith("torch==")]
    everywhere = PYPROJECT["project"]["dependencies"] + EXTRAS["test"]
    assert not [text for text in everywhere if text.startswith("torch")]


# ---- the files for conda, continuous integration, containers


def test_conda_gets_python_pip_and_this_project():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    too_new = f"3.{int(PYTHONS[-1].removeprefix('3.')) + 1}"
    assert conda["dependencies"] == [f"python>={FLOOR},<{too_new}", "pip", {"pip": ["-e ."]}]


def test_workflow_runs_make_test_everywhere_and_all_tests_on_one_system():
    assert MATRIX["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert MATRIX["python"] == PYTHONS == ["3.11", "3.12", "3.13", "3.14", "3.15"]
    assert PYTHONS[0] == FLOOR
    runs = {
        name: [step["run"] for step in job["steps"] if "run" in step]
        for name, job in WORKFLOW["jobs"].items()
    }
    commands = {"test": ["make test PYTHON=python"], "test-all": ["make test-all PYTHON=python"]}
    assert runs == commands


def test_ci_runs_lint_and_tests_with_pytorch_and_published_weights():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-3:] == ["make real .venv/hub", "make lint", "make test-all TIMES=1"]


def test_containers_hold_one_tested_python():
    binder = (ROOT / ".binder/runtime.txt").read_text(encoding="utf-8").strip()
    devcontainer = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))
    assert binder.replace("-", ":") == devcontainer["image"]
    assert binder.removeprefix("python-") in MATRIX["python"]


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no executable bit")
@pytest.mark.parametrize("script", [".ci/run", ".binder/postBuild"])
def test_scripts_are_executable(script):
    assert os.access(ROOT / script, os.X_OK)


# ---- no file names a package registry or somebody's machine

FOREIGN = re.compile(
    r"(?:pypi|pythonhosted|anaconda|npmjs|debian|docker|quay|ghcr|mcr)\b[\w.-]*\.(?:org|com|io)\b"
    r"|--(?:extra-)?index[-]url|--find[-]links"
    r"|(?<![\w.~-])/(?:root/|home/\w|Users/\w|tmp/(?!ipykernel)\w|work/(?:main|shared))"
    r"|\b[A-Z]:\\+Users\b"
)


def test_no_registry_address_and_no_machine_path():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so the files of the project are not known")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]
    found = {
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in files
        for match in FOREIGN.finditer(file.read_text(encoding="utf-8", errors="replace"))
    }
    assert Path(__file__).resolve() in files
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "https:" + "//py" + "pi.org/simple",
        "files.python" + "hosted.org",
        "mcr.micro" + "soft.com/devcontainers/python",
        "pip install --index" + "-url=x",
        "see '/" + "root/project'",
        "C:\\" + "Users\\Ada",
        "[/" + "work/main]",
    ],
)
def test_an_address_or_machine_path_is_noticed(text):
    assert FOREIGN.search(text)


@pytest.mark.parametrize(
    "text", ["work/autoencoder", "../roots/x", "conda-forge", "/tmp/ipykernel"]
)
def test_other_names_are_left_alone(text):
    assert not FOREIGN.search(text)


# ---- make

needs_make = pytest.mark.skipif(
    os.name == "nt" or not shutil.which("make"), reason="needs make and a POSIX shell"
)

PIP = """
import pathlib, sys
with open("pip.log", "a") as log:
    print(*sys.argv[1:], file=log)
sys.exit(pathlib.Path("pip fails").exists())
"""

PYTHON = """#!/bin/sh
if [ "$2" = venv ]; then
    echo venv >> pip.log
    {python} "$@" --without-pip
    mkdir -p "$(echo .venv/lib/python*/site-packages)/pip"
    cp pip.py "$(echo .venv/lib/python*/site-packages)/pip/__main__.py"
else
    {python} "$@"
fi
"""


class Project:
    """A copy of what `make install` reads, with real Python and a pip that only takes notes."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name in ["Makefile", "pyproject.toml", "requirements.lock"]:
            shutil.copy(ROOT / name, folder)
        (folder / "pip.py").write_text(PIP)
        self.python = self.program(PYTHON.format(python=shlex.quote(sys.executable)))

    def program(self, text):
        """Write a program that can stand in for Python."""
        path = self.folder / "a python"
        path.write_text(text)
        path.chmod(0o755)
        return f"'{path}'"

    def change_the_lock(self):
        """Make the lock an hour newer than the install."""
        lock = self.folder / "requirements.lock"
        later = lock.stat().st_mtime + 3600
        os.utime(lock, (later, later))

    def make(self, python=None):
        """Run `make install`; return what happened, and the steps it took."""
        (self.folder / "pip.log").write_text("")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(
            ["make", "install", f"PYTHON={python or self.python}"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        steps = (self.folder / "pip.log").read_text().splitlines()
        return done, [re.sub(r".*(-e \.|-r \S+)$", r"\1", step) for step in steps]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "a project")


INSTALLS = ["-r requirements.lock", "-e ."]


@needs_make
def test_make_installs_once(project):
    done, steps = project.make()
    assert done.returncode == 0, done.stderr
    assert steps == ["venv", *INSTALLS]
    assert "a minute or two" in done.stdout
    done, steps = project.make()
    assert (done.returncode, steps) == (0, [])


@pytest.mark.slow
@needs_make
def test_make_installs_a_new_lock_into_the_same_venv(project):
    project.make()
    project.change_the_lock()
    assert project.make()[1] == INSTALLS


@pytest.mark.slow
@needs_make
def test_make_rebuilds_a_venv_that_was_left_halfway(project):
    project.make()
    project.change_the_lock()
    obstacle = project.folder / "pip fails"
    obstacle.touch()
    assert project.make()[1] == ["-r requirements.lock"]
    obstacle.unlink()
    assert project.make()[1] == ["venv", *INSTALLS]


@pytest.mark.slow
@needs_make
def test_make_tries_again_after_an_install_that_stopped(project):
    obstacle = project.folder / "pip fails"
    obstacle.touch()
    done, steps = project.make()
    assert done.returncode != 0 and steps == ["venv", "-r requirements.lock"]
    obstacle.unlink()
    done, steps = project.make()
    assert done.returncode == 0 and steps == ["venv", *INSTALLS]


@pytest.mark.slow
@needs_make
def test_make_rebuilds_a_venv_that_was_moved(project, tmp_path):
    project.make()
    project.folder = project.folder.rename(tmp_path / "elsewhere")
    project.python = project.program(PYTHON.format(python=shlex.quote(sys.executable)))
    assert project.make()[1] == ["venv", *INSTALLS]


@pytest.mark.slow
@needs_make
def test_make_rebuilds_a_venv_whose_python_is_gone(project):
    project.make()
    python = project.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to(project.folder / "no such python")
    assert project.make()[1] == ["venv", *INSTALLS]


OTHER_VERSION = """#!/bin/sh
{python} -c "import platform, sys; sys.version_info = {version}
platform.python_version = lambda: '.'.join(map(str, sys.version_info))
$2"
"""


@needs_make
@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 16, 0)])
def test_make_names_a_python_that_is_too_old_or_too_new(project, version):
    python = shlex.quote(sys.executable)
    done, steps = project.make(
        project.program(OTHER_VERSION.format(python=python, version=version))
    )
    assert done.returncode != 0 and steps == [] and "Installing" not in done.stdout
    seen = ".".join(map(str, version))
    assert f"is {seen}; this workbook needs Python 3.11 to 3.15." in done.stdout
    assert "PYTHON=python3.12" in done.stdout


@needs_make
def test_make_names_a_python_that_is_missing(project):
    done, steps = project.make("no-such-python")
    assert done.returncode != 0 and steps == [] and "Installing" not in done.stdout
    assert "no-such-python is no Python that runs; this workbook needs" in done.stdout
