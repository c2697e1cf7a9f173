"""The `neurolab` command: open the course, build the book, train the assistant, measure, read the ledger.

Everything heavy is imported inside the command that needs it, so `neurolab --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from neurolab import __version__, measurements_cli
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


def _say(line: str) -> None:
    """Print a line of progress to standard error, so that standard output holds results only."""
    print(line, file=sys.stderr, flush=True)


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
            _say(delivery.message)
    _say(f"Your copy of the course: {place}")
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

    site.build(out, say=_say)


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

    _say(train_cli.train(what, folder, steps=steps, stage=stage, resume=resume))


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
    with _stdout_as_stderr():
        findings = suite.run(quick=quick, progress=_say)
    reported = benchmark.report(suite.GOALS, findings)
    command = f"neurolab bench {name}" + (" --quick" if quick else "")
    rows = benchmark.rows(findings, getattr(suite, "CHAPTER", 0), command)
    for path in measurements.append(rows, DATA / "measurements" if ship else None):
        _say(f"rows appended to {path}")
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
    with _stdout_as_stderr():
        made = room.run(
            wanted,
            parallel=parallel,
            store=store,
            again=again,
            command=f"neurolab sweep {name}",
            cluster=cluster,
        )
    _say(f"{len(made)} rows made, kept in {store}")


@app.command()
def compress(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A folder with an assistant, a safetensors file, or a Hugging Face Transformer: its folder, "
            "or its name on the hub. [default: the assistant]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("compressed.nlab"),
    bits: Annotated[int, typer.Option(min=2, max=8, help="Bits of a weight's code, before coding.")] = 4,
    sparsity: Annotated[
        float, typer.Option(min=0, help="Share of each matrix's weights that become 0; below 1.")
    ] = 0.0,
    coder: Annotated[
        str, typer.Option(help="`ans`, `huffman`, `zstd`, or `packed`: the codes as they are.")
    ] = "ans",
    score: Annotated[
        bool, typer.Option("--score", help="Also ask both assistants the held-out questions: a minute or so.")
    ] = False,
    text: Annotated[
        Path | None,
        typer.Option(
            help="A Transformer's: the text to fit 4 bits to and compare on. [default: random tokens]"
        ),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="A Transformer's: also write an int8 ONNX, and time it.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Round a model's matrices to few bits and write it as one file, as small as its entropy.

    A step a row, no training: the plain recipe of chapters 4 and 5. A Hugging Face Transformer goes layer by
    layer, at 8 bits or, by GPTQ, at 4, with an int8 ONNX beside. `neurolab decompress` reads the file.
    """
    from neurolab import compressing, own_command

    with _stdout_as_stderr():
        if own_command.is_own(model):
            if score:
                raise ValueError("--score: only the assistant has questions; `neurolab evaluate` has others")
            found = own_command.compress(
                str(model), out, bits=bits, sparsity=sparsity, coder=coder, text=text, onnx=onnx, force=force
            )
            drawn = own_command.table(found)
        else:
            place = None if model is None else Path(model)
            found = compressing.make(
                place, out, bits=bits, sparsity=sparsity, coder=coder, score=score, force=force, say=_say
            )
            drawn = compressing.table(found)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(drawn)


@app.command()
def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="A folder with a Hugging Face model, or its name on the hub (with --download)."),
    ] = None,
    name: Annotated[str | None, typer.Option("--set", help="The test set, see --list.")] = None,
    against: Annotated[
        str | None, typer.Option(help="The model to compare it with, the float one say: a folder or a name.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A folder with the set's files: JSON lines, Parquet, CSV.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch from the Hugging Face hub what is not a folder here.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first questions. [default: all]")] = None,
    part: Annotated[
        str | None, typer.Option(help="Another part of the set. [default: that with right answers]")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Also write all answers into this new file, as JSON lines.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only list the sets.")] = False,
) -> None:
    """Ask a model of your own the questions of GLUE, SQuAD or a Thai set, and another one the same.

    The rows are appended to your own measurements. Nothing is fetched without --download.
    """
    from rich.console import Console

    from neurolab import evaluating, measurements

    if listed:
        Console().print(evaluating.listing())
        return
    if model is None or name is None:
        raise ValueError("a model and a --set are needed; `neurolab evaluate --list` names the sets")
    if save is not None and save.exists():
        raise ValueError(f"{save} is there already; nothing is written over: name another file")
    with _stdout_as_stderr():
        found = evaluating.run(
            model,
            name,
            against=against,
            data=data,
            download=download,
            limit=limit,
            split=part,
            say=_say,
        )
        rows = found.rows(f"neurolab evaluate {model} --set {name}")
    for path in measurements.append(rows):
        _say(f"rows appended to {path}")
    if save is not None:
        found.save(save)
    if as_json:
        print(json.dumps({row.setting["model"]: row.figures for row in rows}, ensure_ascii=False))
        return
    Console().print(found.table())
    Console().print(found.side_by_side())


@app.command()
def decompress(
    file: Annotated[Path, typer.Argument(help="What `neurolab compress` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Unpack a compressed file: model.safetensors, card or config.json, and the tokenizer if it has one."""
    from neurolab import compressing, own_command

    if not own_command.decompress(file, out, force=force):
        compressing.unpack(file, out, force=force)
    _say(f"The model lies in {out}.")


@app.command()
def export(
    runtime: Annotated[
        str | None, typer.Argument(help="`onnx`, `ort`, `executorch`, `coreml`, `openvino` or `litert`.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="`fp32`, `int8`, ... [default: the runtime's first, see --list]")
    ] = None,
    model: Annotated[
        str, typer.Option(help="The network: `assistant`, or another that --list names.")
    ] = "assistant",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write. [default: below my-course/exports]")
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Only list runtimes, precisions and networks.")
    ] = False,
) -> None:
    """Write the assistant for another program: a folder with model, tokenizer, sizes, licence and card."""
    from rich.console import Console

    from neurolab.export import command, source_names

    if listed or runtime is None:
        Console().print(command.table())
        print("networks: " + ", ".join(source_names()))
        return
    with _stdout_as_stderr():
        made = command.make(runtime, precision, model, out)
    _say(f"{made.bytes:,} bytes of {made.runtime}, {made.precision}, in {made.folder}")


@app.command()
def phone(
    lan: Annotated[
        bool, typer.Option("--lan", help="Show it to the phones in your local network, with a QR code.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve on exactly this port. [default: first free from 8640]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Serve nothing: write the page into this folder, for a static host of your own."),
    ] = None,
) -> None:
    """Serve the page on which a phone runs the assistant and measures itself.

    Only this computer can open it unless you say --lan. Over HTTPS (`--out`, on a host of your own) the phone
    keeps it and needs no network from then on. Ctrl-C stops it.
    """
    from neurolab.export import phone_server

    if out is not None:
        if lan or port is not None:
            raise ValueError("--out writes files and serves nothing: leave out --lan and --port")
        phone_server.write(out.expanduser().resolve(), say=_say)
        return
    phone_server.run(lan=lan, port=port, say=_say)


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


@contextmanager
def _stdout_as_stderr() -> Iterator[None]:
    """Send what a suite, or a program that it starts, prints to standard error: the output is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
