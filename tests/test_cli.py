"""The command line: what it accepts, what it prints where, and how it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from neurolab import __version__, benchmark, cli, lab, measurements, workspace
from neurolab.benchmark import Finding, Goal
from neurolab.paths import DATA, ROOT

COMMANDS = [
    "lab", "book", "train", "bench", "sweep", "compress", "decompress", "claims", "measurements", "phone",
]  # fmt: skip


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m neurolab ...` in a process of its own."""
    command = [sys.executable, "-m", "neurolab", *arguments]
    variables = os.environ | {"TERM": "dumb", "COLUMNS": "120"} | environment
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    """Run the command in this process, with the reader's folder in `tmp_path`: (status, output, errors)."""
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path / "my-course"))

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neurolab", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capfd.readouterr()
        code = stopped.value.code
        return (0 if code is None else int(code)), printed.out, printed.err

    return called


@pytest.fixture
def toy(monkeypatch):
    """A suite named `toy` with one goal met, one missed and one not measurable."""
    suite = ModuleType("toy")
    suite.GOALS = [
        Goal("toy.fast", 10.0, "higher", "x", "how fast"),
        Goal("toy.small", 5.0, "lower", "MB", "how small"),
        Goal("toy.phone", 1.0, "lower", "s", "how long on a phone"),
    ]
    suite.CHAPTER = 2
    suite.asked = []

    def measure(quick=False, progress=None):
        suite.asked.append(quick)
        progress("step one")
        print("a library prints")
        subprocess.run([sys.executable, "-c", "print('a program prints')"], check=True)
        return [
            Finding("toy.fast", 12.0, (11.0, 13.0)),
            Finding("toy.small", 6.0),
            Finding("toy.phone", why="needs a phone"),
        ]

    suite.run = measure
    known = benchmark.suite
    monkeypatch.setattr(benchmark, "suite", lambda name: suite if name == "toy" else known(name))
    return suite


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_there(command):
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    if not command:
        assert all(name in done.stdout for name in COMMANDS)


def test_help_imports_nothing_heavy():
    code = "import sys, neurolab.cli; print({'torch', 'jupytext', 'numpy', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_version():
    assert run("--version").stdout.strip() == f"neurolab {__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "No such command"),
        (["bench"], "Missing argument"),
        (["bench", "frob"], "there is no suite 'frob'; the suites are"),
        (["bench", "lif", "--ship", "--quick"], "do not go together"),
        (["claims", "--chapter", "9"], "'--chapter'"),
        (["phone", "--out", "x", "--lan"], "leave out --lan"),
        (["phone", "--port", "0"], "'--port'"),
        (["lab", "--port", "0"], "'--port'"),
        (["lab", "--folder", str(ROOT)], "is the course itself"),
        (["train", "--steps", "0"], "'--steps'"),
    ],
)
def test_bad_use_is_named_and_ends_with_2(call, arguments, message):
    status, out, errors = call(*arguments)
    assert status == 2
    assert out == ""
    assert message in errors
    assert "Traceback" not in errors


def test_an_unknown_suite_is_answered_with_the_known_ones():
    done = run("bench", "frob")
    assert done.returncode == 2
    assert all(name in done.stderr for name in benchmark.suites())


def test_bench_json_is_one_object_alone_on_the_output(call, toy, tmp_path):
    status, out, errors = call("bench", "toy", "--json", "--quick")
    assert status == 0
    assert len(out.splitlines()) == 1
    goals = json.loads(out)["goals"]
    assert [(goal["name"], goal["met"]) for goal in goals] == [
        ("toy.fast", True),
        ("toy.small", False),
        ("toy.phone", False),
    ]
    assert goals[2]["value"] is None
    assert goals[2]["why"] == "needs a phone"
    for line in ("step one", "a library prints", "a program prints"):
        assert line in errors
    assert toy.asked == [True]


def test_bench_prints_a_table_and_keeps_the_rows(call, toy, tmp_path):
    status, out, _ = call("bench", "toy")
    assert status == 0
    assert all(word in out for word in ("toy.fast", "12", "yes", "NO"))
    rows = measurements.read(store=tmp_path / "my-course" / "measurements")
    assert [row.name for row in rows] == ["toy.fast", "toy.small"]
    assert {row.chapter for row in rows} == {2}
    assert {row.provenance["command"] for row in rows} == {"neurolab bench toy"}


def test_bench_ships_on_request(call, toy, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "DATA", tmp_path / "data")
    assert call("bench", "toy", "--ship")[0] == 0
    assert len(measurements.read(store=tmp_path / "data" / "measurements")) == 2
    assert not (tmp_path / "my-course").exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad value"), 2),
        (OSError("disk full"), 1),
        (RuntimeError("broke"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_failures_are_one_line_and_a_status(call, toy, error, status):
    def fail(quick=False, progress=None):
        raise error

    toy.run = fail
    got, out, errors = call("bench", "toy")
    assert (got, out) == (status, "")
    assert errors.strip() == f"neurolab: {error}" if str(error) else "neurolab: stopped"


def test_a_mistake_in_our_own_code_is_not_hidden(monkeypatch, toy):
    def fail(quick=False, progress=None):
        raise AttributeError("a bug")

    toy.run = fail
    monkeypatch.setattr(sys, "argv", ["neurolab", "bench", "toy"])
    with pytest.raises(AttributeError, match="a bug"):
        cli.main()


def test_claims_as_json_and_as_a_table(call):
    status, out, _ = call("claims", "--json")
    assert status == 0
    ledger = json.loads(out)
    assert ledger
    assert all({"id", "verdict", "figure"} <= set(entry) for entry in ledger)
    status, out, _ = call("claims", "--chapter", "2")
    assert status == 0
    assert "A16" in out


def test_book_hands_its_folder_on(call, monkeypatch, tmp_path):
    from neurolab import book

    asked = {}
    monkeypatch.setattr(book, "build", lambda out=None, **more: asked.update(out=out, **more))
    assert call("book", "--out", str(tmp_path / "site"))[0] == 0
    assert asked["out"] == tmp_path / "site"


def test_train_hands_its_options_on(call, monkeypatch, tmp_path):
    from neurolab import assistant

    asked = []
    monkeypatch.setattr(assistant, "train", lambda folder, **more: asked.append((folder, more)))
    checkpoint = tmp_path / assistant.CHECKPOINT
    checkpoint.write_text("", encoding="utf-8")
    status, _, errors = call("train", "--folder", str(tmp_path), "--steps", "3")
    assert status == 0
    assert "Stopped after 3 steps" in errors
    assert checkpoint.exists()
    assert call("train", "--folder", str(tmp_path), "--restart")[0] == 0
    assert not checkpoint.exists()
    assert [more["stop_after"] for _, more in asked] == [3, None]
    assert call("train")[0] == 0
    assert asked[-1][0] == DATA / "assistant"


def test_lab_makes_the_copy_and_starts_there(call, monkeypatch, tmp_path):
    started = {}
    monkeypatch.setattr(lab, "start", lambda folder, **more: started.update(folder=folder, **more) or 7)
    status, _, errors = call("lab", "--no-browser", "--port", "8899")
    assert status == 7
    assert started == {"folder": tmp_path / "my-course", "browser": False, "port": 8899}
    assert (tmp_path / "my-course" / "00_start.ipynb").exists()
    assert "00_start: delivered" in errors
    status, _, errors = call("lab", "--copy-only", "--folder", str(tmp_path / "other"))
    assert status == 0
    assert (tmp_path / "other" / "00_start.ipynb").exists()
    assert call("lab", "--copy-only", "--folder", str(tmp_path / "other"))[2].count("00_start") == 0


def test_the_server_is_told_where_what_and_how(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/theirs")
    command = lab.command(tmp_path, browser=False, port=8899)
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert "--LabApp.default_url=/lab/tree/00_start.ipynb" in command
    assert "--ServerApp.port=8899" in command
    assert "--no-browser" in command
    assert "--no-browser" not in lab.command(tmp_path)
    environment = lab.environment(tmp_path)
    assert environment["NEUROLAB_FOLDER"] == str(tmp_path)
    ours, theirs = environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert theirs == "/theirs"
    settings = json.loads(
        (Path(ours) / "labconfig" / "default_setting_overrides.json").read_text(encoding="utf-8")
    )
    assert (
        settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]["markdown"]
        == "Jupytext Notebook"
    )
    with pytest.raises(ValueError, match="port: 70000"):
        lab.command(tmp_path, port=70000)


def test_ctrl_c_waits_for_jupyterlab_to_end(tmp_path, monkeypatch):
    """The terminal interrupts the server too; leaving before it has asked would orphan it."""

    class Server:
        waits = 0

        def __init__(self, *_, **__):
            pass

        def wait(self):
            Server.waits += 1
            if Server.waits < 3:
                raise KeyboardInterrupt
            return 0

    monkeypatch.setattr(lab.subprocess, "Popen", Server)
    assert lab.start(tmp_path) == 0
    assert Server.waits == 3


def test_preparing_the_copy_again_touches_no_chapter(tmp_path):
    workspace.prepare(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("[0-9]*")}
    workspace.prepare(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("[0-9]*")} == before


@pytest.mark.parametrize("what", ["spiking", "video", "gate", "exit"])
def test_an_option_of_another_training_is_refused(call, what):
    status, _, errors = call("train", what, "--steps", "3")
    assert status == 2
    assert f"--steps 3: not for `neurolab train {what}`, but for assistant, vision, enhance" in errors
    status, _, errors = call("train", "vision", "--stage", "one")
    assert status == 2
    assert "--stage one: not for `neurolab train vision`, but for spiking" in errors


def test_what_cannot_be_trained_is_named(call):
    status, _, errors = call("train", "everything")
    assert status == 2
    assert "cannot train 'everything'; there are assistant, spiking, vision, video, gate" in errors
