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


Span = Annotated[str | None, typer.Option(metavar="FROM:TO", help="Seconds since the recording began.")]


@commands.command()
def energy(
    file: Annotated[Path, typer.Argument(help="The recording.")],
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens that were written in the run.")] = None,
    run: Span = None,
    idle: Span = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="`batterystats`, `perfetto`, `power_hal`, `instruments`, `monsoon` or `usb_meter`. "
            "[default: told by the file]",
        ),
    ] = None,
    rails: Annotated[
        str | None, typer.Option(help="Perfetto, power HAL: only these rails, with * and ?.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Perfetto: `rails` or `battery`.")] = None,
    volts: Annotated[float | None, typer.Option(help="Perfetto: the battery's voltage.")] = None,
    battery_mah: Annotated[
        float | None, typer.Option(help="Battery statistics: the battery's capacity.")
    ] = None,
    battery_wh: Annotated[float | None, typer.Option(help="Instruments: the battery's energy, new.")] = None,
    health: Annotated[
        float | None, typer.Option(help="Instruments: the share of it that is left, 0 to 1.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Monsoon: `main` or `usb`.")] = None,
    time_unit: Annotated[str | None, typer.Option(help="Monsoon: `s` or `ms`.")] = None,
) -> None:
    """Turn a recording of power into joules per token, idle taken off.

    Without --tokens, --run and --idle it prints the power over time, so that you see when the device idled
    and when it ran.
    """
    from neurolab import power

    options = {
        "rails": rails,
        "source": source,
        "volts": volts,
        "battery_mah": battery_mah,
        "battery_wh": battery_wh,
        "health": health,
        "channel": channel,
        "time_unit": time_unit,
    }
    recording = power.read(file, form, **{name: x for name, x in options.items() if x is not None})
    print(f"{recording.what}: {recording.whole.joules:.4g} J in {recording.whole.seconds:.4g} s.")
    for note in recording.notes:
        print(note)
    if tokens is None and run is None and idle is None:
        for start, end, watts in recording.profile():
            print(f"{start:10.2f} to {end:10.2f} s  {watts:8.3f} W")
        return
    if tokens is None or run is None or idle is None:
        raise ValueError("tokens, run and idle belong together: give all three, or none")
    ran, rested = (recording.stretch(*_span(name, text)) for name, text in (("run", run), ("idle", idle)))
    print(power.per_token(ran, rested, tokens).sentence())


def _span(name: str, text: str) -> tuple[float, float]:
    """'60:120' as two numbers of seconds."""
    start, _, end = text.partition(":")
    try:
        return float(start), float(end)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}; allowed is FROM:TO in seconds, like 60:120") from error
