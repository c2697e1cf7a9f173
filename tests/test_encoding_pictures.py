"""Chapter 1's pictures: what is drawn is what was given, and sliders move it."""

import numpy as np
import pytest
import torch

from neurolab import encoding
from neurolab import encoding_pictures as pictures
from neurolab.explore import Explorer, Steps, exercise_corners

X = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))


def heard(T: int) -> dict:
    spikes = encoding.rate(X, T)
    return {"said": X.numpy(), "spikes": pictures.rows(spikes), "heard": spikes.mean(0).numpy()}


def test_a_raster_has_a_row_a_neuron_and_a_column_a_tick():
    spikes = torch.zeros(5, 2, 3)
    spikes[4, 1, 0] = 1  # neuron 3, last tick
    z = pictures.raster(spikes).z
    assert z.shape == (6, 5)
    assert z[3, 4] == 1
    assert z.sum() == 1


def test_the_three_panels_hold_what_was_meant_sent_and_heard_and_follow_the_slider():
    figure = pictures.listening(heard(16))
    said, spikes, believed = figure.data
    assert np.array_equal(said.z, X.numpy())
    assert np.array_equal(np.asarray(spikes.z).T.reshape(16, 8, 8).mean(0), np.asarray(believed.z))
    explorer = Explorer(
        heard,
        pictures.listening,
        controls={"T": Steps(2, 32, 2)},
        changes={"spikes": {"z": "spikes"}, "heard": {"z": "heard"}},
        alt="a digit",
    )
    assert exercise_corners(explorer) >= 2


def test_panels_are_named_and_counted_and_a_signed_train_has_both_colours():
    trains = {"even": encoding.even(X, 16), "delta": encoding.delta(X, 0.1)}
    shown = pictures.show_rasters(trains, title="t", alt="two rasters")
    spec = shown._spec["figure"]
    titles = [note["text"] for note in spec["layout"]["annotations"]]
    assert titles[0] == f"even ({int(trains['even'].sum())} spikes)"
    assert titles[1] == f"delta ({int(trains['delta'].abs().sum())} spikes)"
    assert [trace["zmin"] for trace in spec["data"]] == [0.0, -1.0]


def test_prices_draw_a_line_a_code_and_rings():
    result = {f"{name} {axis}": np.array([1.0, 2.0]) for name in pictures.PRICED for axis in "xy"}
    figure = pictures.prices(result | {"ring x": np.array([1.0]), "ring y": np.array([1.0])})
    assert [trace.name for trace in figure.data] == [*pictures.PRICED, "this T"]
    assert set(pictures.PRICES_CHANGES) == {*pictures.PRICED, "this T"}


def test_lines_have_one_tick_a_window_and_a_level():
    shown = pictures.show_lines(
        {"rate": ((4, 16), (0.2, 0.5))}, title="t", alt="a line", level=("without spikes", 0.9)
    )
    spec = shown._spec["figure"]
    assert spec["layout"]["xaxis"]["ticktext"] == ["4", "16"]
    assert list(spec["data"][1]["y"]) == [0.9, 0.9]


def test_every_picture_needs_words_for_those_who_cannot_see_it():
    with pytest.raises(ValueError, match="alt"):
        pictures.show_listening(X, encoding.even(X, 4), X, title="t", alt=" ")


def test_a_table_holds_its_cells_and_escapes_them():
    drawn = pictures.table(("a", "b"), [(1, "<x>")], "measured")
    assert "<td>1</td><td>&lt;x&gt;</td>" in drawn
    assert drawn.count("<th ") == 2
    assert "(measured)" in drawn
