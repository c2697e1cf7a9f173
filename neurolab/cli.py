"""The `neurolab` command: open the course, build the book, train the assistant, measure, read the ledger.

Everything heavy is imported inside the command that needs it, so `neurolab --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from neurolab import __version__, measurements_cli, models_cli
from neurolab.output import say, stdout_as_stderr
from neurolab.paths import DATA, reader_folder

app = typer.Typer(
    name="neurolab",
    help="Squeeze a Transformer language model onto a phone, and check every claim on the way.\n\n"
    "Start with `neurolab lab`: it opens the course in JupyterLab.",
    epilog="`neurolab COMMAND --help` says more about each. `python -m neurolab` is the same command.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
app.add_typer(measurements_cli.commands, name="measurements")

BAD_USE = 2
"""Exit status of a request that cannot be carried out as it was given; 1 is for work that failed."""


def main() -> None:
    """Run the command line; turn expected errors into one clear line and an exit status."""
    # Thai and box-drawing characters, also where the terminal's code page has none (Windows).
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="neurolab")
    except ValueError as error:
        _stop(str(error), BAD_USE)
    except (OSError, RuntimeError) as error:
        _stop(str(error) or type(error).__name__, 1)
    except KeyboardInterrupt:
        _stop("stopped", 130)


def _stop(message: str, status: int) -> None:
    """Print `neurolab: message` to standard error and leave with the status."""
    print(f"neurolab: {message}", file=sys.stderr)
    raise SystemExit(status)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"neurolab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """The options before a command."""


@app.command()
def lab(
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Where your copy of the chapters lies or shall lie. [default: my-course in the checkout]"
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve on exactly this port. [default: first free from 8888]"),
    ] = None,
    copy_only: Annotated[
        bool, typer.Option("--copy-only", help="Make or update your copy, and stop (for VS Code and others).")
    ] = False,
) -> None:
    """Open the course in JupyterLab, on chapter 0.

    You work in your own copy, `my-course`. When the course is upgraded, chapters that you have not touched
    are brought up to date; where you have worked, the new version arrives beside yours and yours stays as it
    is. To get a fresh chapter, delete yours and run this again. Ctrl-C stops JupyterLab.
    """
    from neurolab import workspace
    from neurolab.lab import start

    place = (folder or reader_folder()).expanduser().resolve()
    for delivery in workspace.prepare(place):
        if delivery.what not in ("same", "kept"):
            say(delivery.message)
    say(f"Your copy of the course: {place}")
    if not copy_only:
        raise typer.Exit(start(place, browser=browser, port=port))


@app.command()
def book(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the finished site; its old content is replaced. [default: build/site]"),
    ] = None,
) -> None:
    """Build the static book: the same chapters and sliders, with no kernel and no network."""
    from neurolab import book as site

    site.build(out, say=say)


@app.command()
def train(
    what: Annotated[
        str,
        typer.Argument(
            help="`assistant`, `spiking`: its networks (chapter 3), `vision`: an image network (4), "
            "`video`: those that watch (6), `gate`: what they teach to choose (6), `enhance`: those that "
            "draw finer (6), or `exit`: the assistant's heads for early exit (6)."
        ),
    ] = "assistant",
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the weights go. [default: the shipped ones]"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Assistant, vision: stop after so many steps. [default: the full run]"),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help="Spiking: only this stage, and those that it needs. [default: all of them]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--restart", help="Go on where an interrupted run ended.")
    ] = True,
) -> None:
    """Train the assistant from the beginning, or make its spiking networks from it: under an hour each.

    An interrupted run loses nothing: the same command goes on where it stopped. The same command on the same
    machine gives the same weights, bit for bit.
    """
    from neurolab import train_cli

    say(train_cli.train(what, folder, steps=steps, stage=stage, resume=resume))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="The suite: `assistant`, `lif`, `slider`, ...")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    ship: Annotated[
        bool,
        typer.Option("--ship", help="Append the rows to the course's own (data/measurements), not to yours."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure less: wider spreads, for a first look.")
    ] = False,
) -> None:
    """Measure one suite on this machine, beside its goals.

    What is compared is measured in turns in the same run. The rows are appended to your own measurements.
    """
    from neurolab import benchmark, measurements

    if ship and quick:
        raise ValueError("--ship and --quick do not go together: shipped rows are measured in full")
    suite = benchmark.suite(name)
    with stdout_as_stderr():
        findings = suite.run(quick=quick, progress=say)
    reported = benchmark.report(suite.GOALS, findings)
    command = f"neurolab bench {name}" + (" --quick" if quick else "")
    rows = benchmark.rows(findings, getattr(suite, "CHAPTER", 0), command)
    for path in measurements.append(rows, DATA / "measurements" if ship else None):
        say(f"rows appended to {path}")
    if as_json:
        print(json.dumps(reported, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(benchmark.table(reported))


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="The sweep, for instance `tradeoff` or `compression`.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only rows of this name (may be given more than once). [default: all]"),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Rows made at the same time, one thread each.")] = 2,
    again: Annotated[bool, typer.Option("--again", help="Make rows that are there already, too.")] = False,
    ship: Annotated[
        bool, typer.Option("--ship", help="Keep the rows with the course's own (data/measurements).")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Only list the rows, and which are missing.")] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Work on a Dask cluster: its scheduler's address (tcp://host:8786), or `local` for one of "
            "--parallel processes here. Needs the extra cluster. [default: processes of this machine]"
        ),
    ] = None,
) -> None:
    """Make all rows of a sweep that are not there yet: each is kept as soon as it is done.

    Stop it whenever you like (Ctrl-C); the next call goes on with the rows that are missing.
    """
    from neurolab import measurements
    from neurolab import sweep as room

    wanted = room.jobs(name, only or ())
    store = measurements.shipped() if ship else measurements.own()
    if show:
        lacking = room.missing(wanted, store)
        for job in wanted:
            state = "missing" if job in lacking else "there"
            print(f"{state:8} {job.minutes:5.1f} min  {job.name} {json.dumps(job.setting)}")
        return
    with stdout_as_stderr():
        made = room.run(
            wanted,
            parallel=parallel,
            store=store,
            again=again,
            command=f"neurolab sweep {name}",
            cluster=cluster,
        )
    say(f"{len(made)} rows made, kept in {store}")


for command in models_cli.COMMANDS:
    app.command()(command)


@app.command()
def claims(
    as_json: Annotated[bool, typer.Option("--json", help="Print the ledger as one JSON array.")] = False,
    chapter: Annotated[
        int | None, typer.Option(min=0, max=8, help="Only the claims of this chapter.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="CLAIM", help="Print the rows that decided this claim, like A6.")
    ] = None,
    own: Annotated[
        bool, typer.Option("--own", help="Let your own rows take the place of ours where you measured too.")
    ] = False,
) -> None:
    """Print the ledger: every claim of the articles, and the verdict that the measured rows give."""
    from neurolab import claims_cli

    if rows is not None:
        if as_json or chapter is not None:
            raise ValueError("--rows prints one claim's rows: leave out --json and --chapter")
        print(claims_cli.proof(rows, own))
        return
    found = claims_cli.entries(chapter, own)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(claims_cli.table(found))
    print(claims_cli.closing(found))
