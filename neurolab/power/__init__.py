"""Energy measured on a device: recordings of power in the formats of six kinds of tools, as joules per token.

`read` takes a file, `Recording` is what all of them become, `per_token` is the result. How to make a
recording, step by step: `neurolab.energy_steps`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurolab.power.android import PERFETTO_QUERY, batterystats, perfetto
from neurolab.power.apple import instruments
from neurolab.power.hal import power_hal
from neurolab.power.meters import monsoon, usb_meter
from neurolab.power.recording import PerToken, Recording, Stretch, per_token

__all__ = ["FORMATS", "PerToken", "Recording", "Stretch", "guess", "per_token", "read"]

FORMATS: dict[str, Callable[..., Recording]] = {
    "batterystats": batterystats,
    "perfetto": perfetto,
    "power_hal": power_hal,
    "instruments": instruments,
    "monsoon": monsoon,
    "usb_meter": usb_meter,
}
"""The formats by name, with what reads their text."""
LARGEST = 2**30
"""Bytes of a recording at most."""


def guess(text: str) -> str:
    """Which of the FORMATS a text is; ValueError where it is none."""
    lines = [line for line in text[:20_000].splitlines() if line.strip()]
    head = "\n".join(lines[:50])
    first = next((line.lower() for line in lines if "time" in line.lower()), "")
    titles = lines[0].replace("\t", ",").split(",") if lines else []
    if "<trace-query-result" in head or "<trace-toc" in head:
        return "instruments"
    if "PowerStats HAL" in text or (head.startswith("t=") and "CH0(T=" in text):
        return "power_hal"
    if re.search(r"^\d+,h,-?\d", text, re.MULTILINE):
        return "batterystats"
    if {"ts", "name", "value"} <= {title.strip(' "') for title in titles}:
        return "perfetto"
    if "main(ma)" in first or "usb(ma)" in first or "avg power (mw)" in first:
        return "monsoon"
    if first:
        return "usb_meter"
    raise ValueError(f"none of the formats {', '.join(FORMATS)}")


def read(path: Path | str, form: str | None = None, **options: Any) -> Recording:
    """A file as a recording. form: one of FORMATS (default: guessed).  options: of the format's own function
    (rails, source, volts, battery_mah, battery_wh, health, channel, time_unit).

    ValueError names the file, and what is wrong with it.
    """
    path = Path(path)
    if form is not None and form not in FORMATS:
        raise ValueError(f"form is {form!r}; allowed are {', '.join(FORMATS)}")
    try:
        text = _text(path)
        form = form or guess(text)
        taken = inspect.signature(FORMATS[form]).parameters
        allowed = [name for name, p in taken.items() if p.kind is p.KEYWORD_ONLY]
        if extra := sorted(set(options) - set(allowed)):
            raise ValueError(f"{extra[0]} is no option of {form}; it takes {', '.join(allowed) or 'none'}")
        needed = [name for name in allowed if taken[name].default is inspect.Parameter.empty]
        if lacking := [name for name in needed if name not in options]:
            raise ValueError(f"a recording of {form} needs {lacking[0]}")
        return FORMATS[form](text, **options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    """The file's text; ValueError says what to do with files that are none."""
    if path.is_dir() and path.suffix == ".trace":
        raise ValueError("a recording of Instruments; export its table first: xctrace export --xpath ...")
    if not path.is_file():
        raise ValueError("there is no such file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.stat().st_size:,} bytes; at most {LARGEST:,} are read")
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    if b"\0" in content[:4096]:
        query = f'trace_processor query {path.name} "{PERFETTO_QUERY}"'
        raise ValueError(f"no text; a Perfetto trace is made into a table first: {query}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # a µ as Windows programs write it
