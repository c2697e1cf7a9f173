"""The ways to install hold together: pyproject, constraints, conda, the licences, make and CI."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from neurolab import __version__
from neurolab.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    if "==" in line
)


def pinned() -> dict[str, str]:
    """The versions of constraints.txt by normalised name."""
    return {canonicalize_name(name): pin for name, pin in PINS.items()}


# Extras that make and CI install apart: tests/extras.
BIG = ("cluster", "coreml", "counters", "executorch", "openvino", "sets")


def wanted(*left_out: str) -> list[Requirement]:
    """Everything that pyproject.toml asks for, extras included but for those `left_out`."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].items()
    lists = [project["dependencies"], *(lines for name, lines in extras if name not in left_out)]
    return [Requirement(line) for lines in lists for line in lines]


def test_constraints_are_plain_pins_in_order():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    assert "neurolab" not in pinned()
    assert len(pinned()) == len(lines)


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_each_dependency_is_pinned_to_an_allowed_version(requirement):
    pin = pinned()[canonicalize_name(requirement.name)]
    assert pin in requirement.specifier


@pytest.mark.parametrize("requirement", wanted(*BIG), ids=str)
def test_what_a_dependency_needs_here_is_pinned_too(requirement):
    seen, left = set(), [requirement.name]
    while left:
        name = left.pop()
        for line in requires(name) or []:
            needed = Requirement(line)
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            key = canonicalize_name(needed.name)
            # pip comes with the environment; accelerators' own packages come with torch.
            if (
                key in seen
                or key in ("setuptools", "wheel", "pip")
                or key.startswith(("nvidia-", "cuda-", "triton"))
            ):
                continue
            seen.add(key)
            left.append(needed.name)
    assert seen <= set(pinned())


@pytest.mark.parametrize("requirement", wanted(*BIG), ids=str)
def test_the_tests_run_with_the_pinned_versions(requirement):
    # A build without CUDA calls itself 2.13.0+cpu: the same version.
    assert version(requirement.name).partition("+")[0] == pinned()[canonicalize_name(requirement.name)]


def test_conda_installs_the_same_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, by_pip = environment["dependencies"]
    assert pip == "pip"
    assert by_pip == {"pip": ["-c constraints.txt", "-e .[fast,hub,nir,test]"]}
    conda_python = python.removeprefix("python=")
    assert conda_python in SpecifierSet(PROJECT["project"]["requires-python"])
    assert PROJECT["tool"]["mypy"]["python_version"] == conda_python
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + conda_python.replace(".", "")
    assert f"python{conda_python}" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_make_and_conda_install_the_same_extras():
    assert "-c constraints.txt -e '.[fast,hub,nir,test]'" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_licences_agree():
    project = PROJECT["project"]
    assert project["license"] == "MIT AND CC-BY-4.0"
    assert project["license-files"] == ["LICENSE", "LICENSE-TEXT"]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    text = (ROOT / "LICENSE-TEXT").read_text(encoding="utf-8")
    assert "SPDX-License-Identifier: CC-BY-4.0" in text
    assert "Creative Commons Attribution 4.0 International Public License" in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "[MIT](LICENSE)" in readme
    assert "[CC BY 4.0](LICENSE-TEXT)" in readme


def test_versions_agree():
    assert PROJECT["project"]["version"] == __version__
    assert f"torch=={PINS['torch']}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_readers_make_is_ignored_by_git():
    names = ["my-course/00_start.md", ".venv/x", ".cache/x", "build/x", "neurolab.egg-info/x"]
    done = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    if "not a git repository" in done.stderr:
        names_ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
        assert all(name.split("/")[0].removeprefix("neurolab") in names_ignored for name in names)
    else:
        assert done.stdout.split() == names


class Clone:
    """A folder with the Makefile, a pretended Python, and a pip that writes down its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder / name)
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name in ("sh", "make", "rm", "touch", "mkdir", "cat", "chmod", "cp"):
            (self.tools / name).symlink_to(shutil.which(name))

    def add_python(self, name: str = "python3", *, pip: str = "exit 0") -> None:
        """A Python that makes environments holding itself and says what it was asked to do."""
        script = self.tools / name
        script.write_text(
            "#!/bin/sh\n"
            'case "$*" in\n'
            "  -c*) exit 0 ;;\n"
            '  --version) echo "Python 3.11.7" ;;\n'
            '  "-m pip --version") case "$0" in *.venv/*) exit 0 ;; esac; exit 1 ;;\n'
            f'  "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >> {self.log} ;;\n'
            f'  "-m pip install"*) echo "$*" >> {self.log}; {pip} ;;\n'
            f'  *) echo "$*" >> {self.log} ;;\n'
            "esac\n",
            encoding="utf-8",
        )
        script.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make with these tools alone on the path."""
        environment = {"PATH": str(self.tools), "HOME": str(self.folder)}
        return subprocess.run(
            [self.tools / "make", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def calls(self) -> list[str]:
        """What was asked of Python since the last time."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


INSTALL = "-m pip install --progress-bar on -c constraints.txt -e .[fast,hub,nir,test]"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.mark.parametrize(("target", "call"), [("lab", "-m neurolab lab"), ("book", "-m neurolab book")])
def test_make_sets_up_once_and_repeats_at_once(clone, target, call):
    clone.add_python()
    done = clone.make(target)
    assert done.returncode == 0, done.stderr
    assert clone.calls() == ["venv", INSTALL, call]
    assert clone.make(target).returncode == 0
    assert clone.calls() == [call]


def test_make_with_many_jobs_sets_up_once(clone):
    clone.add_python()
    assert clone.make("-j8", "lab", "book").returncode == 0
    calls = clone.calls()
    assert calls[:2] == ["venv", INSTALL]
    assert sorted(calls[2:]) == ["-m neurolab book", "-m neurolab lab"]


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_make_installs_again_when_a_list_changed(clone, changed):
    clone.add_python()
    clone.make("lab")
    clone.calls()
    later = (clone.folder / ".venv" / ".neurolab-installed").stat().st_mtime + 10
    os.utime(clone.folder / changed, (later, later))
    clone.make("lab")
    assert clone.calls() == [INSTALL, "-m neurolab lab"]


def test_a_failed_install_is_done_again(clone):
    clone.add_python(pip="exit 1")
    assert clone.make("lab").returncode != 0
    assert clone.calls() == ["venv", INSTALL]
    clone.add_python()
    shutil.copy(clone.tools / "python3", clone.folder / ".venv" / "bin" / "python")
    assert clone.make("lab").returncode == 0
    assert clone.calls() == [INSTALL, "-m neurolab lab"]


def test_make_without_python_says_what_to_install(clone):
    done = clone.make("lab")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "sudo apt install python3 python3-venv" in done.stderr
    assert not (clone.folder / ".venv").exists()


def test_make_prefers_the_python_that_was_tested(clone):
    clone.add_python("python3", pip="echo wrong one; exit 1")
    clone.add_python("python3.11")
    assert clone.make("lab").returncode == 0


def test_make_help_names_the_three_commands(clone):
    (clone.tools / "awk").symlink_to(shutil.which("awk"))
    printed = clone.make().stdout
    assert all(f"make {name} " in printed for name in ("lab", "test", "book"))


def test_make_and_the_tests_of_extras_know_all_extras():
    from tests.extras.run import EXTRAS

    others = {"fast", "hub", "nir", "test"}
    assert set(EXTRAS) == set(BIG) == PROJECT["project"]["optional-dependencies"].keys() - others
    assert all((ROOT / "tests" / "extras" / f"test_{name}.py").is_file() for name in EXTRAS)


def test_ci_calls_make_for_the_tests_and_nothing_else():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("\nmake test\nexec make test-extras")
    assert "chromium" in script
    assert "fonts-thai-tlwg" in script
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"]).returncode == 0


def test_the_python_of_the_tests_is_new_enough():
    assert ".".join(map(str, sys.version_info[:2])) in SpecifierSet(PROJECT["project"]["requires-python"])
