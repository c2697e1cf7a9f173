"""One explorer: a figure with up to four controls, live in a notebook and without a kernel in the book.

    Explorer(compute, figure, controls={"T": Steps(1, 64)}, changes={"error": {"y": "error"}},
             describe=lambda r: f"The error is {r['error'][-1]:.2f}.", alt="Error against T", caption="Drag T
             to 8.")

``compute(**controls) -> dict`` is pure and small; ``figure(result)`` draws its first result with Plotly;
``changes`` says which attribute of which trace follows which key of the result.  In a notebook this is an
ipywidget: a move asks the kernel for one result.  With the environment variable ``NEUROLAB_STATIC=1`` the
same object computes its whole grid and shows as HTML with the data inside.  Both are drawn by the same
module, ``static/explorer.mjs``.

Messages (custom, so that arrays travel as bytes and nothing is echoed):
    browser -> kernel  {"kind": "move", "who", "seq", "values"}, {"kind": "hello", "who"}, {"kind": "plotly"}
    kernel -> browser  {"kind": "result" | "error", "who", "seq", "values", ...}, {"kind": "plotly"}
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import html
import itertools
import json
import math
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from neurolab.controls import Choice, Control, ControlError, Range, Steps, check_controls
from neurolab.figures import (
    COLOURS,
    FigureError,
    as_figure,
    check_result,
    compact,
    layout,
    plain,
    resolve_changes,
)
from neurolab.grids import GridError, pack

__all__ = [
    "COLOURS", "Choice", "ControlError", "Explorer", "FigureError", "GridError", "Range", "Steps",
    "exercise_corners", "layout", "static_files",
]  # fmt: skip

STATIC = Path(__file__).parent / "static"
PLOTLY = "plotly-cartesian.min.js"
MAX_POINTS = 2000  # settings of one explorer: a page carries them all
DESCRIBE = "describe()"  # key of the sentence in a packed grid; no result key can hold brackets by accident


class Explorer(anywidget.AnyWidget):
    """A figure that follows its controls; see the module's text for the parts.

    ``describe(result)`` gives one sentence, shown under the figure and read out by screen readers after a
    move. ``alt`` says what the picture shows (required), ``caption`` what to look for.  Keys in ``gaps`` may
    hold NaN, where a line is to break.  ``controls_values`` (a trait) holds the present values; `set` moves
    controls from Python and `link` ties one to another widget.

    Raises `ControlError`, `FigureError` or `GridError` (all `ValueError`) when the parts do not fit, and
    whatever ``compute``, ``figure`` or ``describe`` raise: they run once here, and for every setting with
    NEUROLAB_STATIC=1.
    """

    _esm = STATIC / "explorer.mjs"
    _css = STATIC / "explorer.css"
    _spec = traitlets.Dict().tag(sync=True)
    _comm_id = traitlets.Unicode().tag(sync=True)
    controls_values = traitlets.Dict()
    # As in DOMWidget, but None is allowed: a static page must not leave a Layout widget's state behind.
    layout = ipywidgets.widgets.trait_types.InstanceDict(ipywidgets.Layout, allow_none=True).tag(
        sync=True, **ipywidgets.widget_serialization
    )

    def __init__(
        self,
        compute: Callable[..., dict[str, Any]],
        figure: Callable[[dict[str, Any]], Any],
        controls: dict[str, Control] | None = None,
        changes: dict[Any, dict[str, str]] | None = None,
        describe: Callable[[dict[str, Any]], str] | None = None,
        caption: str = "",
        alt: str = "",
        title: str = "",
        gaps: tuple[str, ...] = (),
    ) -> None:
        for name, part in (("compute", compute), ("figure", figure)):
            if not callable(part):
                raise FigureError(f"{name} must be a function, not {part!r}")
        if not isinstance(alt, str) or not alt.strip():
            raise FigureError(
                "alt must say in a sentence what the picture shows, for readers who cannot see it"
            )
        self._compute, self._describe, self._gaps = (
            compute,
            describe,
            (gaps,) if isinstance(gaps, str) else gaps,
        )
        self._controls = check_controls(controls or {})
        points = math.prod(len(control.values()) for control in self._controls.values())
        if points > MAX_POINTS:
            raise ControlError(
                f"the controls have {points} settings together; at most {MAX_POINTS}: use wider steps"
            )
        values = {name: control.value for name, control in self._controls.items()}
        result, sentence = self.result(**values)
        drawn = as_figure(figure(result))
        self._changes, drawn = resolve_changes(drawn, changes or {}, result)
        if self._controls and not self._changes:
            raise FigureError("changes is empty: the controls would move nothing in the figure")
        self._keys = sorted({key for _, _, key in self._changes})
        self._sent: dict[str, bytes] = {}
        self._static_page = os.environ.get("NEUROLAB_STATIC", "") not in ("", "0")
        picture = plain(drawn.to_plotly_json())
        picture.get("layout", {}).pop("template", None)  # the page's theme sets the colours
        spec = {
            "title": title, "caption": caption, "alt": alt, "describe": sentence,
            "controls": [control.wire(name) for name, control in self._controls.items()],
            "figure": {"data": picture.get("data", []), "layout": picture.get("layout", {})},
            "changes": self._changes,
        }  # fmt: skip
        if self._static_page:
            spec["grid"] = self._grid()
            super().__init__(layout=None, controls_values=values)
            self._page_spec = spec
            return
        comm_id = uuid.uuid4().hex
        super().__init__(model_id=comm_id, _comm_id=comm_id, _spec=spec, controls_values=values)
        self.on_msg(self._on_message)

    # What the explorer computes -------------------------------------------------------------------

    def result(self, **values: Any) -> tuple[dict[str, Any], str]:
        """Run ``compute`` at one setting and return its checked result and the sentence that describes it."""
        where = f"compute({', '.join(f'{name}={value!r}' for name, value in values.items())})"
        result = check_result(self._compute(**values), where, self._gaps)
        missing = [key for key in getattr(self, "_keys", []) if key not in result]
        if missing:
            raise FigureError(f"{where} returns no {missing[0]!r}, which changes asks for")
        sentence = self._describe(result) if self._describe else ""
        if not isinstance(sentence, str):
            raise FigureError(f"describe must return a string, not {type(sentence).__name__} (at {where})")
        return result, sentence

    def check(self, **values: Any) -> dict[str, Any]:
        """Return the present values with ``values`` put in, each checked by its control (`ControlError`)."""
        unknown = [name for name in values if name not in self._controls]
        if unknown:
            raise ControlError(
                f"no control called {unknown[0]!r}; there are {', '.join(self._controls) or 'none'}"
            )
        try:
            new = {name: self._controls[name].check(value) for name, value in values.items()}
        except ControlError as error:
            raise ControlError(f"{', '.join(values)}: {error}") from error
        return self.controls_values | new

    def corners(self) -> int:
        """Run ``compute`` at every corner, every end and every choice; return how many settings ran, or
        raise."""
        ends = {
            name: control.values()
            if isinstance(control, Choice)
            else [control.values()[0], control.values()[-1]]
            for name, control in self._controls.items()
        }
        settings = [dict(zip(ends, point, strict=True)) for point in itertools.product(*ends.values())]
        start = {name: control.value for name, control in self._controls.items()}
        settings += [start | {name: end} for name, values in ends.items() for end in values]
        results = [self.result(**setting)[0] for setting in settings]
        pack(results, self._keys)
        return len(settings)

    # Moving it from Python ------------------------------------------------------------------------

    def set(self, **values: Any) -> None:
        """Move controls, e.g. ``explorer.set(T=8)``.  Raises what `check` and ``compute`` raise, and moves
        nothing then."""
        new = self.check(**values)
        if new == self.controls_values:
            return
        result, sentence = self.result(**new)
        self._send_result(result, sentence, new)
        self.controls_values = new

    def refresh(self) -> None:
        """Compute the present setting again and show it: what ``compute`` reads has changed."""
        result, sentence = self.result(**self.controls_values)
        self._send_result(result, sentence, self.controls_values)

    def link(self, name: str, widget: Any, attribute: str = "value") -> Callable[[], None]:
        """Tie control ``name`` to a widget's attribute, both ways; return a function that unties them."""
        self.check(**{name: self.controls_values.get(name)})

        def from_widget(change: Any) -> None:
            self.set(**{name: change["new"]})

        def to_widget(change: Any) -> None:
            if getattr(widget, attribute) != change["new"][name]:
                setattr(widget, attribute, change["new"][name])

        def unlink() -> None:
            widget.unobserve(from_widget, names=attribute)
            self.unobserve(to_widget, names="controls_values")

        setattr(widget, attribute, self.controls_values[name])
        widget.observe(from_widget, names=attribute)
        self.observe(to_widget, names="controls_values")
        return unlink

    # Talking to the browser -----------------------------------------------------------------------

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        kind = content.get("kind")
        if kind == "plotly":
            self.send({"kind": "plotly"}, [_plotly_gz()])
            return
        if kind not in ("move", "hello"):
            return
        reply = {"who": content.get("who"), "seq": content.get("seq")}
        values = self.controls_values
        try:
            if kind == "hello":
                self._sent.clear()  # a browser that has just opened holds nothing yet
            else:
                values = self.check(**content["values"])
            result, sentence = self.result(**values)
        except Exception as error:  # the reader must see what their compute raised, whatever it is
            self.send(
                {"kind": "error", "values": values, "text": f"{type(error).__name__}: {error}", **reply}
            )
            return
        self._send_result(result, sentence, values, **reply)
        self.controls_values = values

    def _send_result(
        self, result: dict[str, Any], sentence: str, values: dict[str, Any], **reply: Any
    ) -> None:
        """Send the keys that the figure uses; an array equal to the one sent before is named, not sent."""
        entries: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        for key in self._keys:
            value = result[key]
            if not isinstance(value, np.ndarray) or value.dtype.kind == "U":
                self._sent.pop(key, None)
                entries.append({"key": key, "value": plain(value)})
                continue
            array = compact(value)
            data = array.tobytes()
            mark = repr((array.dtype.str, array.shape)).encode() + data
            same = self._sent.get(key) == mark
            self._sent[key] = mark
            entry = {"key": key, "same": same}
            if not same:
                entry |= {"dtype": array.dtype.str[1:], "shape": list(array.shape), "buffer": len(buffers)}
                buffers.append(data)
            entries.append(entry)
        content = {"kind": "result", "values": values, "describe": sentence, "entries": entries, **reply}
        self.send(content, buffers)

    # The static page ------------------------------------------------------------------------------

    def _grid(self) -> dict[str, Any]:
        names = list(self._controls)
        results = []
        for point in itertools.product(*(control.values() for control in self._controls.values())):
            result, sentence = self.result(**dict(zip(names, point, strict=True)))
            results.append({key: result[key] for key in self._keys} | {DESCRIBE: sentence})
        return pack(results, [*self._keys, DESCRIBE])

    def open(self) -> None:
        """Open the comm to the browser; a static page has none."""
        if not self._static_page:
            super().open()

    def html(self) -> str:
        """The static page's element: text for readers without scripts, and the data for the module."""
        if not self._static_page:
            raise FigureError("html() needs NEUROLAB_STATIC=1 set before the explorer is made")
        spec = self._page_spec
        data = json.dumps(spec, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
            "<", "\\u003c"
        )
        words = [str(spec[part]) for part in ("title", "alt", "describe", "caption") if spec[part]]
        name = f"nl-{hashlib.sha256(data.encode()).hexdigest()[:12]}"
        return (
            f'<div class="nl-explorer" id="{name}">{"".join(f"<p>{html.escape(one)}</p>" for one in words)}'
            f'<script type="application/json">{data}</script></div>'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        text = f"Explorer: {self._page_spec['alt'] if self._static_page else self._spec['alt']}"
        if self._static_page:
            return {"text/plain": text, "text/html": self.html()}, {}
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle:
            (bundle[0] if isinstance(bundle, tuple) else bundle)["text/plain"] = text
        return bundle


def exercise_corners(explorer: Explorer) -> int:
    """For tests: run an explorer at its ends, corners and choices.  Returns the count; raises what compute
    raises."""
    return explorer.corners()


@functools.cache
def _plotly_gz() -> bytes:
    """The vendored Plotly bundle, compressed: half a megabyte, asked for once per page."""
    return gzip.compress((STATIC / PLOTLY).read_bytes(), 6, mtime=0)


def static_files() -> dict[str, bytes]:
    """The files that a static site serves, by name: link ``explorer.css`` and ``explorer.js`` on every page.

    ``explorer.js`` is an ordinary script that starts ``explorer.mjs`` from a string inside it, so that a page
    opened from a folder (``file:``), where browsers refuse to load modules, works too.  Plotly is loaded by
    it from the same folder, once, and only on pages that hold an explorer.
    """
    module = json.dumps((STATIC / "explorer.mjs").read_text(encoding="utf-8"), ensure_ascii=False)
    start = (
        "(() => {\n"
        '  const base = new URL(".", document.currentScript.src).href;\n'
        f"  const source = {module};\n"
        '  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));\n'
        "  import(url).then((explorer) => explorer.start(base));\n"
        "})();\n"
    )
    names = ("explorer.css", PLOTLY, "plotly-cartesian.LICENSE.txt")
    return {"explorer.js": start.encode()} | {name: (STATIC / name).read_bytes() for name in names}
