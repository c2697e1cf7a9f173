"""The commands that make and ask models: compress, evaluate, decompress, export, phone.

Everything heavy is imported inside the command that needs it, so `neurolab --help` answers at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from neurolab.output import say, stdout_as_stderr


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

    with stdout_as_stderr():
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
                place, out, bits=bits, sparsity=sparsity, coder=coder, score=score, force=force, say=say
            )
            drawn = compressing.table(found)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(drawn)


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
    with stdout_as_stderr():
        found = evaluating.run(
            model,
            name,
            against=against,
            data=data,
            download=download,
            limit=limit,
            split=part,
            say=say,
        )
        rows = found.rows(f"neurolab evaluate {model} --set {name}")
    for path in measurements.append(rows):
        say(f"rows appended to {path}")
    if save is not None:
        found.save(save)
    if as_json:
        print(json.dumps({row.setting["model"]: row.figures for row in rows}, ensure_ascii=False))
        return
    Console().print(found.table())
    Console().print(found.side_by_side())


def decompress(
    file: Annotated[Path, typer.Argument(help="What `neurolab compress` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Unpack a compressed file: model.safetensors, card or config.json, and the tokenizer if it has one."""
    from neurolab import compressing, own_command

    if not own_command.decompress(file, out, force=force):
        compressing.unpack(file, out, force=force)
    say(f"The model lies in {out}.")


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
    with stdout_as_stderr():
        made = command.make(runtime, precision, model, out)
    say(f"{made.bytes:,} bytes of {made.runtime}, {made.precision}, in {made.folder}")


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
        phone_server.write(out.expanduser().resolve(), say=say)
        return
    phone_server.run(lan=lan, port=port, say=say)


COMMANDS = (compress, decompress, evaluate, export, phone)
