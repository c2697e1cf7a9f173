"""The house style of the course's figures, and the checks on what an explorer draws.

Colours are those of Okabe and Ito (2008), "Color Universal Design": told apart by colour-blind readers too.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import plotly.graph_objects as go

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "ink": "#1B1F24",  # the browser swaps this exact colour for the theme's text colour: it shows in the dark
    "black": "#1B1F24",
}


class FigureError(ValueError):
    """A result, a figure or the list of changes does not fit the others."""


def layout(**extra: Any) -> go.Layout:
    """The house layout: legend on top, small margins, transparent ground; ``extra`` is passed to `go.Layout`.

    Text, grid and axis colours are left out on purpose: the browser sets them from the page's theme, and the
    upper margin from what stands there (title, legend, or nothing).
    """
    style = go.Layout(
        height=380,
        margin={"l": 56, "r": 16, "b": 48},
        colorway=[COLOURS[name] for name in ("blue", "vermillion", "green", "orange", "purple", "sky")],
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return style.update(**extra)


def as_figure(drawn: Any) -> go.Figure:
    """Return what ``figure(result)`` gave as a `go.Figure`; plotly's own `ValueError` names a wrong
    attribute."""
    if isinstance(drawn, go.Figure):
        return drawn
    if isinstance(drawn, dict):
        return go.Figure(drawn)
    raise FigureError(f"figure must return a plotly Figure or a dict, not {type(drawn).__name__}")


def check_result(result: Any, where: str, gaps: tuple[str, ...] = ()) -> dict[str, Any]:
    """Check one result of ``compute`` and return it with plain arrays, floats and strings.

    Allowed: arrays of finite numbers or booleans (any shape), arrays or lists of strings, numbers, strings.
    Keys in ``gaps`` may hold NaN, which breaks a line.  Raises `FigureError` naming ``where``, the key and
    why.
    """
    if not isinstance(result, dict) or not result:
        raise FigureError(
            f"{where} must return a dict of arrays, numbers and strings, not {type(result).__name__}"
        )
    clean: dict[str, Any] = {}
    for key, value in result.items():
        if not isinstance(key, str):
            raise FigureError(f"{where}: the key {key!r} must be a string")
        if isinstance(value, str):
            clean[key] = value
            continue
        if hasattr(value, "detach"):  # a torch tensor, without importing torch here
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
        if array.dtype.kind in "US":
            clean[key] = str(array) if array.ndim == 0 else array.astype(str)
            continue
        if array.dtype.kind == "O" and array.ndim and all(isinstance(one, str) for one in array.ravel()):
            clean[key] = array.astype(str)
            continue
        if array.dtype.kind not in "biuf":
            raise FigureError(f"{where}: {key!r} holds {array.dtype} values; allowed are numbers and strings")
        if array.dtype.kind == "f":
            bad = ~np.isfinite(array) if key not in gaps else np.isinf(array)
            if bad.any():
                first = array.ravel()[int(np.argmax(bad))]
                hint = (
                    ""
                    if np.isinf(first)
                    else f" (name it in gaps=({key!r},) if NaN is meant to break a line)"
                )
                raise FigureError(f"{where}: {key!r} holds {first}{hint}")
        clean[key] = array if array.ndim else array.item()
    return clean


def resolve_changes(
    figure: go.Figure, changes: Any, result: dict[str, Any]
) -> tuple[list[list[Any]], go.Figure]:
    """Turn ``changes`` into ``[trace number or "layout", attribute, key]`` rows, trying each on a copy.

    Returns the rows and the copy, which shows ``result`` in every place that changes.

    Raises `FigureError` for an unknown or doubled trace name, an attribute that plotly does not know, or a
    key that the result lacks.
    """
    if not isinstance(changes, dict):
        raise FigureError(
            f"changes must be a dict of trace name: {{attribute: key}}, not {type(changes).__name__}"
        )
    names = [trace.name for trace in figure.data]
    trial = go.Figure(figure)
    rows: list[list[Any]] = []
    for target, attributes in changes.items():
        place: Any
        if target == "layout":
            place, thing = "layout", trial.layout
        else:
            matches = [i for i, name in enumerate(names) if name == target]
            if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(names):
                matches = [target]
            if len(matches) != 1:
                why = "no trace" if not matches else f"{len(matches)} traces"
                raise FigureError(f"changes: {why} called {target!r}; the figure's traces are {names}")
            place, thing = matches[0], trial.data[matches[0]]
        if not isinstance(attributes, dict) or not attributes:
            raise FigureError(f"changes[{target!r}] must be a dict of attribute: key, not {attributes!r}")
        for attribute, key in attributes.items():
            if key not in result:
                raise FigureError(
                    f"changes[{target!r}][{attribute!r}]: compute returns no {key!r} but {sorted(result)}"
                )
            try:
                thing[attribute] = result[key]
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise FigureError(f"changes[{target!r}]: plotly refuses {attribute!r}: {error}") from error
            rows.append([place, attribute, key])
    return rows, trial


def plain(value: Any) -> Any:
    """Return ``value`` as JSON data; numeric arrays become ``{"dtype", "bdata", "shape"}``, which plotly.js
    reads."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.size == 0:
            return value.tolist()
        packed = compact(value)
        spec: dict[str, Any] = {
            "dtype": packed.dtype.str[1:],
            "bdata": base64.b64encode(packed.tobytes()).decode(),
        }
        if packed.ndim > 1:
            spec["shape"] = ", ".join(map(str, packed.shape))
        return spec
    if isinstance(value, np.generic):
        return value.item()
    return value


def compact(array: np.ndarray) -> np.ndarray:
    """The same numbers in the narrowest type that a browser's typed arrays hold (int64 and float16 have
    none).

    Integers keep their values; floats keep 64 bits up to 512 of them, and 32 beyond (1 part in 16 million).
    """
    if array.dtype.kind == "b":
        return np.ascontiguousarray(array, "<u1")
    if array.dtype.kind in "iu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        for kind in ("u1", "i1", "u2", "i2", "u4", "i4"):
            limits = np.iinfo(kind)
            if limits.min <= low and high <= limits.max:
                return np.ascontiguousarray(array, "<" + kind)
    return np.ascontiguousarray(array, "<f8" if array.size <= 512 or array.dtype.kind in "iu" else "<f4")
