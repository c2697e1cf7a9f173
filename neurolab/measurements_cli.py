"""The commands under `neurolab measurements`: a phone's rows come in, a recording becomes joules a token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer(
    help="Bring in what was measured elsewhere: a phone's rows, a recording of its power.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@commands.command()
def add(file: Annotated[Path, typer.Argument(help="What the phone page saved, or shared with you.")]) -> None:
    """Check a phone's rows and add them to your own measurements.

    A file that does not agree with itself is refused, and so is one that was added before. Nothing else
    changes, and nothing is sent anywhere.
    """
    from neurolab import measurements_add

    print(measurements_add.add(file).sentence())
