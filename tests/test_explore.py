"""The explorer's Python: controls, checks, messages, the packed grid."""

import json
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurolab import explore
from neurolab.explore import (
    COLOURS,
    Choice,
    ControlError,
    Explorer,
    FigureError,
    GridError,
    Range,
    Steps,
    exercise_corners,
    layout,
)
from neurolab.figures import compact, plain
from neurolab.grids import pack, unpack


def compute(T: int = 1, code: str = "rate") -> dict[str, Any]:
    return {"y": np.full(3, T / 2), "peak": float(T), "name": code}


def figure(result: dict[str, Any]) -> go.Figure:
    return go.Figure([go.Scatter(y=result["y"], name="line")], layout())


def make(**changed: Any) -> Explorer:
    parts: dict[str, Any] = {
        "compute": compute,
        "figure": figure,
        "controls": {"T": Steps(1, 8), "code": Choice("rate", "latency")},
        "changes": {"line": {"y": "y"}},
        "describe": lambda r: f"peak {r['peak']}",
        "alt": "A line",
    }
    return Explorer(**(parts | changed))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[bytes]]]:
    messages: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(
        Explorer, "send", lambda self, content, buffers=None: messages.append((content, buffers or []))
    )
    return messages


def move(explorer: Explorer, seq: int = 1, **values: Any) -> None:
    explorer._on_message(explorer, {"kind": "move", "who": "me", "seq": seq, "values": values}, [])


# Controls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Steps(1, 1), "stop .1. must be greater than start"),
        (lambda: Steps(1, 8, 2), "cannot be reached"),
        (lambda: Steps(1, 8, 0), "step must be 1 or more"),
        (lambda: Steps(1.5, 8), "start must be a whole number, not 1.5"),  # type: ignore[arg-type]
        (lambda: Steps(1, 8, value=9), "9 is not allowed: whole numbers from 1 to 8"),
        (lambda: Range(0, 1, 0.3), "cannot be reached"),
        (lambda: Range(0, float("nan"), 0.1), "stop must be a finite number"),
        (lambda: Range(0, 1, -0.1), "step must be greater than 0"),
        (lambda: Range(0, 1, 0.1, value=0.25), "0.25 is not allowed"),
        (lambda: Choice(2), "two values or more"),
        (lambda: Choice(2, 2), "each must differ"),
        (lambda: Choice(2, 4, value=3), "3 is not allowed: choose one of 2, 4"),
        (lambda: Choice([1], [2]), "strings, finite numbers or booleans"),
    ],
)
def test_a_bad_control_names_what_is_allowed(wrong: Any, words: str) -> None:
    with pytest.raises(ControlError, match=words):
        wrong()


def test_values_include_both_ends_and_no_binary_dust() -> None:
    assert Range(0, 0.9, 0.1).values() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert Steps(2, 8, 2, value=4).values() == [2, 4, 6, 8]
    assert Choice(True, False).check(False) is False
    assert Range(0, 1, 0.25).check(np.float32(0.5)) == 0.5


@given(start=st.integers(-50, 50), count=st.integers(1, 40), step=st.integers(1, 9))
def test_each_value_of_steps_is_allowed_and_nothing_between(start: int, count: int, step: int) -> None:
    control = Steps(start, start + count * step, step)
    assert len(control.values()) == count + 1
    assert [control.check(value) for value in control.values()] == control.values()
    with pytest.raises(ControlError):
        control.check(start + count * step + step)
    with pytest.raises(ControlError):
        control.check(start + 0.5)


# Construction -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"alt": " "}, FigureError, "alt must say"),
        ({"compute": 3}, FigureError, "compute must be a function"),
        ({"controls": {f"c{i}": Steps(0, 1) for i in range(5)}}, ControlError, "at most 4 controls"),
        ({"controls": {"T": 3}}, ControlError, "must be Steps, Range or Choice"),
        ({"controls": {"T": Steps(0, 4000)}}, ControlError, "4001 settings"),
        ({"changes": {}}, FigureError, "changes is empty"),
        (
            {"changes": {"lime": {"y": "y"}}},
            FigureError,
            r"no trace called 'lime'; the figure's traces are \['line'\]",
        ),
        ({"changes": {"line": {"y": "z"}}}, FigureError, "compute returns no 'z' but"),
        ({"changes": {"line": {"colour": "name"}}}, FigureError, "plotly refuses 'colour'"),
        ({"compute": lambda T, code: {}}, FigureError, "must return a dict"),
        (
            {"compute": lambda T, code: {"y": np.array([1, np.nan])}},
            FigureError,
            "'y' holds nan .name it in gaps",
        ),
        ({"compute": lambda T, code: {"y": np.array([np.inf])}}, FigureError, "'y' holds inf"),
        ({"compute": lambda T, code: {"y": object()}}, FigureError, "allowed are numbers and strings"),
        ({"describe": lambda r: 3}, FigureError, "describe must return a string"),
        ({"figure": lambda r: 3}, FigureError, "figure must return"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make(**changed)


def test_an_exception_in_compute_stops_the_cell() -> None:
    with pytest.raises(ZeroDivisionError):
        make(compute=lambda T, code: {"y": [1 // 0]})


def test_an_exception_off_the_first_setting_is_found_at_the_corners_and_in_the_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def planted(T: int, code: str) -> dict[str, Any]:
        if T == 8:
            raise RuntimeError("planted")
        return compute(T, code)

    explorer = make(compute=planted)
    with pytest.raises(RuntimeError, match="planted"):
        exercise_corners(explorer)
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    with pytest.raises(RuntimeError, match="planted"):
        make(compute=planted)


def test_corners_run_ends_and_choices() -> None:
    seen = []

    def watched(T: int, code: str) -> dict[str, Any]:
        seen.append((T, code))
        return compute(T, code)

    assert exercise_corners(make(compute=watched)) == 8
    assert {(1, "rate"), (8, "rate"), (1, "latency"), (8, "latency")} <= set(seen)


def test_gaps_torch_tensors_and_words_are_allowed() -> None:
    def odd(T: int, code: str) -> dict[str, Any]:
        return {"y": torch.tensor([1.0, float("nan"), T]), "words": ["a", code]}

    explorer = make(compute=odd, gaps=("y",), changes={"line": {"y": "y", "text": "words"}}, describe=None)
    assert exercise_corners(explorer) == 8


# Messages -----------------------------------------------------------------------------------------


def test_a_move_sends_the_arrays_as_bytes_and_only_what_changed(sent: list[Any]) -> None:
    def two(T: int, code: str) -> dict[str, Any]:
        return {"y": np.arange(600.0) * T, "x": np.arange(600)}

    explorer = make(compute=two, changes={"line": {"y": "y", "x": "x"}}, describe=lambda r: "so")
    move(explorer, 1, T=2, code="rate")
    move(explorer, 2, T=3, code="rate")
    (first, buffers), (second, later) = sent
    assert [len(one) for one in buffers] == [1200, 2400]
    assert [len(one) for one in later] == [2400]
    assert {entry["key"]: entry["same"] for entry in second["entries"]} == {"x": True, "y": False}
    assert (second["who"], second["seq"], second["values"]) == ("me", 2, {"T": 3, "code": "rate"})
    assert first["describe"] == "so"
    y = np.frombuffer(later[0], second["entries"][1]["dtype"])
    np.testing.assert_allclose(y, np.arange(600.0) * 3)
    assert explorer.controls_values == {"T": 3, "code": "rate"}


def test_an_exception_is_answered_with_its_text_and_the_next_move_recovers(sent: list[Any]) -> None:
    def fragile(T: int, code: str) -> dict[str, Any]:
        if T == 5:
            raise RuntimeError("five")
        return compute(T, code)

    explorer = make(compute=fragile)
    move(explorer, 1, T=5, code="rate")
    move(explorer, 2, T=6, code="rate")
    assert (sent[0][0]["kind"], sent[0][0]["text"]) == ("error", "RuntimeError: five")
    assert (sent[1][0]["kind"], sent[1][0]["values"]["T"]) == ("result", 6)
    move(explorer, 3, T=99, code="rate")
    assert "99 is not allowed" in sent[2][0]["text"]
    assert explorer.controls_values["T"] == 6
    with pytest.raises(RuntimeError, match="five"):
        explorer.set(T=5)


def test_a_browser_that_opens_gets_everything(sent: list[Any]) -> None:
    explorer = make()
    explorer.set(T=4)
    explorer._on_message(explorer, {"kind": "hello", "who": "new"}, [])
    explorer._on_message(explorer, {"kind": "plotly"}, [])
    assert sent[1][0]["entries"][0]["same"] is False
    assert sent[1][0]["values"]["T"] == 4
    assert sent[2][1][0][:2] == b"\x1f\x8b"
    assert len(sent[2][1][0]) < 600_000


def test_refresh_sends_what_has_become_of_the_same_setting(sent: list[Any]) -> None:
    data = [1.0]
    explorer = make(compute=lambda T, code: compute(T, code) | {"y": np.full(3, data[0])})
    data[0] = 7.0
    explorer.refresh()
    assert len(sent) == 1
    assert np.frombuffer(sent[0][1][0], "f8").tolist() == [7.0] * 3
    assert sent[0][0]["values"] == explorer.controls_values


def test_link_moves_both_ways_until_untied() -> None:
    explorer, box = make(), ipywidgets.IntText(0)
    untie = explorer.link("T", box)
    assert box.value == 1
    box.value = 5
    assert explorer.controls_values["T"] == 5
    explorer.set(T=7)
    assert box.value == 7
    untie()
    box.value = 2
    assert explorer.controls_values["T"] == 7
    with pytest.raises(ControlError, match="no control called 'U'"):
        explorer.link("U", box)


# The static page ----------------------------------------------------------------------------------


def static(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> tuple[str, dict[str, Any]]:
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    page = make(**changed)._repr_mimebundle_()[0]["text/html"]
    return page, json.loads(page.split('<script type="application/json">')[1].split("</script>")[0])


def test_the_static_page_holds_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    page, spec = static(monkeypatch, title="</script><b>", caption="see")
    assert page.count("</script>") == 1
    assert "&lt;/script&gt;" in page
    assert "<p>A line</p>" in page
    results = unpack(spec["grid"])
    assert len(results) == 16
    assert [one[explore.DESCRIBE] for one in results[2:4]] == ["peak 2.0", "peak 2.0"]
    np.testing.assert_allclose(results[15]["y"], [4, 4, 4])
    assert spec["changes"] == [[0, "y", "y"]]


def test_the_static_page_opens_no_comm_and_leaves_no_widget_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    explorer = make()
    assert explorer.comm is None
    assert explorer.layout is None
    explorer.set(T=3)
    assert explorer.controls_values["T"] == 3


def test_a_figure_without_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    _, spec = static(monkeypatch, compute=lambda: {"y": [1, 2]}, controls={}, changes={}, describe=None)
    assert spec["controls"] == []
    assert spec["figure"]["data"][0]["y"]["dtype"] in ("i1", "u1")
    assert "template" not in spec["figure"]["layout"]


def test_static_files_are_whole_and_local() -> None:
    files = explore.static_files()
    assert {"explorer.js", "explorer.css", explore.PLOTLY} <= set(files)
    assert b"plotly.js (cartesian - minified) v4.1.1" in files[explore.PLOTLY][:200]
    from plotly.offline import get_plotlyjs_version

    assert get_plotlyjs_version() == "4.1.1", "vendor the bundle that belongs to this plotly"
    assert b"http" not in files["explorer.js"] + files["explorer.css"]


def test_house_layout() -> None:
    house = layout(xaxis_title="T", height=300)
    assert (house.xaxis.title.text, house.height, house.legend.orientation) == ("T", 300, "h")
    assert COLOURS["blue"] == "#0072B2"


# Packing ------------------------------------------------------------------------------------------


def numbers() -> Any:
    kinds = [
        hnp.arrays(np.float64, (4,), elements=st.floats(-1e6, 1e6)),
        hnp.arrays(np.int64, (4,), elements=st.integers(-(2**30), 2**30)),
        hnp.arrays(np.float64, (4,), elements=st.floats(1e-9, 1e9)),
        hnp.arrays(np.bool_, (4,)),
    ]
    return st.sampled_from(kinds).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=6))


@settings(deadline=None, max_examples=300)
@given(numbers())
def test_packing_keeps_numbers_within_the_stated_rounding(values: list[np.ndarray]) -> None:
    got = np.array(
        [one["a"] for one in unpack(json.loads(json.dumps(pack([{"a": v} for v in values], ["a"]))))]
    )
    want = np.array(values, float)
    if np.all(want == np.round(want)):
        np.testing.assert_array_equal(got, want)
    elif want.min() >= 0 and (want > 1e-30).any() and want.max() / want[want > 1e-30].min() > 1000:
        np.testing.assert_allclose(got, want, rtol=2.0**-13, atol=1e-30)
    else:
        assert (
            np.abs(got - want).max()
            <= (want.max() - want.min()) / 4000 / 2 + np.abs(want).max() * 1e-13 + 1e-30
        )


def test_packing_keeps_holes_words_numbers_and_changing_shapes() -> None:
    results = [
        {
            "a": np.array([0.5, np.nan, i]),
            "z": np.ones((i + 1, 2)),
            "s": "word",
            "n": i / 3,
            "l": np.array(["a", "b"]),
        }
        for i in range(3)
    ]
    for got, want in zip(unpack(pack(results, list(results[0]))), results, strict=True):
        np.testing.assert_allclose(got["a"], want["a"])
        np.testing.assert_array_equal(got["z"], want["z"])
        assert (got["s"], got["n"], got["l"]) == (want["s"], want["n"], ["a", "b"])


def test_packing_refuses_what_differs_in_kind() -> None:
    with pytest.raises(GridError, match="at least one result"):
        pack([], ["a"])
    with pytest.raises(GridError, match="result 1 of the grid has no 'a'"):
        pack([{"a": 1}, {"b": 1}], ["a"])
    with pytest.raises(GridError, match="array of numbers in some results"):
        pack([{"a": np.ones(2)}, {"a": 1}], ["a"])


def test_a_thousand_points_stay_small() -> None:
    from neurolab.bench.slider import page_bytes

    assert page_bytes() < 1_000_000


@given(hnp.arrays(np.int64, (3,), elements=st.integers(-(2**31), 2**32 - 1)))
def test_compact_keeps_whole_numbers(array: np.ndarray) -> None:
    packed = compact(array)
    np.testing.assert_array_equal(packed.astype(np.int64), array)


def test_plain_makes_json() -> None:
    spec = plain({"a": np.ones((2, 3)), "b": [np.float64(2)], "c": np.array([])})
    assert json.loads(json.dumps(spec)) == {"a": spec["a"], "b": [2.0], "c": []}
    assert spec["a"]["shape"] == "2, 3"


def test_a_slider_that_plays_says_how_fast():
    assert Steps(0, 3, play=8).wire("t")["play"] == 8
    assert "play" not in Steps(0, 3).wire("t")
    for wrong in (0, 13, 2.5, True):
        with pytest.raises(ControlError, match="play must be 1 to 12"):
            Steps(0, 3, play=wrong)
