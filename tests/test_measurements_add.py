"""A phone's rows: what is refused, that nothing is lost, and that nothing is added twice.

All rows here are made for the test; no phone was asked.
"""

import copy
import json
import multiprocessing
import sys
from datetime import UTC, datetime, timedelta

import pytest
from jsonschema import Draft202012Validator

from neurolab import cli, measurements, measurements_add
from neurolab.benchmark import percentile

BROWSER = "Mozilla/5.0 (Linux; Android 14; made for a test) Chrome/131.0.0.0 Mobile"


def run_of(run="a1" * 16, models=(("fp32", 6.0), ("int8", 3.0), ("ptq12", 5.5)), device="a made phone"):
    """One made run: a row a model, all that may stand in a row filled in."""
    rows, medians = [], {}
    for seed, (model, ms) in enumerate(models):
        times = [round(ms + ((i * 37 + seed) % 101) / 100, 4) for i in range(100)]
        medians[model] = percentile(times, 50)
        figures = {
            "warmup": 10,
            "iterations": 100,
            "tokens": 900,
            "token_ms": times,
            "p50_ms": medians[model],
            "p95_ms": percentile(times, 95),
            "tokens_per_second": round(1000 / medians[model], 1),
            "first_token_p50_ms": 20.5,
            "first_token_p95_ms": 31.0,
            "bytes": 2_000_000,
            "sha256": f"{seed}" * 64,
            "answers_asked": 20,
            "answers_equal": 20,
            "battery_start": 0.8,
            "battery_end": 0.79,
            "battery_seconds": 60.0,
            "battery_charging": False,
            "idle_start": 0.8,
            "idle_end": 0.8,
            "idle_seconds": 30.0,
        }
        setting = {"model": model, "browser": "Chrome 131", "device": device, "form": "phone"}
        provenance = {
            "command": "neurolab phone",
            "run": run,
            "date": "2026-11-21T14:05:00.123Z",
            "versions": {"neurolab": "0.1.0", "onnxruntime-web": "1.30.0"},
            "processor": "8 cores",
            "commit": "unknown",
            "user_agent": BROWSER,
            "automated": False,
        }
        row = {"name": "phone.latency", "chapter": 7, "kind": "measured"}
        rows.append(row | {"setting": setting, "figures": figures, "provenance": provenance})
    for row in rows:
        if row["setting"]["model"] not in measurements_add.BASELINES:
            for base in {"fp32", "int8"} & set(medians):
                ratio = round(medians[base] / row["figures"]["p50_ms"], 3)
                row["figures"][f"ratio_vs_{base}"] = ratio
    return rows


@pytest.fixture
def written(tmp_path):
    """Write anything as a phone's file: rows, or the text itself."""

    def write(content, name="run.json"):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def test_the_schema_is_one_and_says_what_each_field_is():
    schema = measurements_add.schema()
    Draft202012Validator.check_schema(schema)
    for part in ("row", "setting", "figures", "provenance"):
        assert schema["$defs"][part]["additionalProperties"] is False
    for name, field in schema["$defs"]["figures"]["properties"].items():
        assert len(field["description"]) > 15, name


def test_a_run_is_added_and_read_as_any_other_row(written, store):
    rows = run_of(device="มือถือของฉัน")
    added = measurements_add.add(written(rows), store)
    assert added.file == store / "phone.jsonl"
    read = measurements.read("phone.latency", store=store)
    assert [vars(row) for row in read] == rows
    assert read == list(added.rows)
    ptq12 = measurements.read("phone.latency", store=store, model="ptq12")[0].figures
    assert ptq12["ratio_vs_int8"] == pytest.approx(3.49 / 5.99, abs=1e-3)
    assert "ptq12 5.99 ms per token" in added.sentence()
    assert "มือถือของฉัน" in added.sentence()


def test_one_row_alone_and_a_byte_order_mark_are_taken(written, store):
    (row,) = run_of(models=[("spiking", 9.0)])
    path = written("\ufeff\n" + json.dumps(row) + "\n\n")
    assert len(measurements_add.add(path, store).rows) == 1


def test_a_computer_has_rows_of_its_own(written, store):
    rows = run_of()
    for row in rows:
        row["name"], row["setting"]["form"] = "computer.latency", "computer"
    assert measurements_add.add(written(rows), store).file == store / "computer.jsonl"
    assert measurements.read("phone.latency", store=store) == []


def change(where, value):
    """A change of the first row (of all rows, where the field is shared)."""

    def changed(rows):
        part, _, field = where.partition(".")
        for row in rows if part in ("provenance", "name", "kind") else rows[:1]:
            if field:
                row[part][field] = value
            else:
                row[part] = value

    return changed


def drop(part, field):
    return lambda rows: rows[0][part].pop(field)


WRONG = {
    "an invented figure": (change("figures.joules_per_token", 0.1), "joules_per_token; allowed are warmup"),
    "an invented setting": (change("setting.owner", "me"), "row 1, setting has owner"),
    "an invented field": (change("verdict", "confirmed"), "row 1 has verdict"),
    "a missing figure": (drop("figures", "p95_ms"), "row 1, figures lacks p95_ms"),
    "an end without a start": (drop("figures", "battery_start"), "battery_start"),
    "a text for a number": (change("figures.p50_ms", "3.5"), "must be of type number"),
    "a truth value for a number": (change("figures.tokens", True), "must be of type integer"),
    "too few iterations": (change("figures.token_ms", [1.0, 2.0]), "has 2 entries; at least 100"),
    "another count": (change("figures.iterations", 101), "token_ms has 100 entries"),
    "too few tokens": (change("figures.tokens", 199), "tokens is 199|minimum of 200"),
    "a better median": (change("figures.p50_ms", 5.0), "p50_ms is 5.0, but the times in the file give 6.49"),
    "a better tail": (change("figures.p95_ms", 6.6), "p95_ms is 6.6"),
    "more tokens a second": (change("figures.tokens_per_second", 200.0), "tokens_per_second is 200"),
    "a made-up constant": (change("figures.token_ms", [6.5] * 100), "no clock measures that"),
    "a negative time": (change("figures.token_ms", [-1.0] * 100), "less than the minimum"),
    "no such number": (change("figures.bytes", float("nan")), "NaN is no number"),
    "a ratio for fp32": (change("figures.ratio_vs_int8", 0.5), "ratio_vs_int8 is there"),
    "a tail under the middle": (change("figures.first_token_p95_ms", 1.0), "first_token_p95_ms is under"),
    "more equal than asked": (change("figures.answers_equal", 21), "21 of 20 asked"),
    "a battery that fills itself": (change("figures.battery_end", 0.9), "battery_charging is false"),
    "an idle that fills itself": (change("figures.idle_end", 0.9), "idle_end is over"),
    "another chapter": (change("chapter", 8), "row 1, chapter is 8; allowed: 7"),
    "another name": (change("name", "phone.energy"), "allowed: phone.latency, computer.latency"),
    "a phone's name from a computer": (change("name", "computer.latency"), "must be phone.latency"),
    "cited": (change("kind", "cited"), "allowed: measured"),
    "a device of one blank": (change("setting.device", " "), "setting.device"),
    "markup as a device": (change("setting.device", "<img>"), "angle brackets"),
    "a line break as a device": (change("setting.device", "a\nb"), "no control characters"),
    "half a character": (change("setting.browser", "Chrome \ud83d"), "half of a character|differ in setting"),
    "another device in the middle": (change("setting.device", "b"), "differ in setting"),
    "a model twice": (change("setting.model", "int8"), "int8 stands in it twice"),
    "a day that is none": (change("provenance.date", "2026-02-30T00:00:00Z"), "no such day"),
    "a date to come": (
        change("provenance.date", (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")),
        "still to come",
    ),
    "a run that is none": (change("provenance.run", "abc"), "provenance.run"),
    "a driven browser": (change("provenance.automated", True), "a program drives"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_file_is_refused_and_leaves_the_store_as_it_was(fault, written, store):
    measurements_add.add(written(run_of(run="00" * 16, models=[("spiking", 9.0)])), store)
    before = (store / "phone.jsonl").read_bytes()
    rows = run_of()
    alter, says = WRONG[fault]
    alter(rows)
    path = written(json.dumps(rows))
    with pytest.raises(ValueError, match=says) as caught:
        measurements_add.add(path, store)
    assert str(path) in str(caught.value)
    assert (store / "phone.jsonl").read_bytes() == before
    assert not (store / "computer.jsonl").exists()


@pytest.mark.parametrize("base", ["fp32", "int8"])
def test_ratios_are_those_of_the_rows_in_the_file(base, written, store):
    for alter, says in (
        (lambda figures: figures.pop(f"ratio_vs_{base}"), "is missing"),
        (lambda figures: figures.update({f"ratio_vs_{base}": 2.4}), "2.4, but the times in the file give"),
    ):
        rows = run_of()
        alter(rows[2]["figures"])
        with pytest.raises(ValueError, match=f"row ptq12: ratio_vs_{base} .*{says}|is {says}"):
            measurements_add.add(written(rows), store)
    rows = [row for row in run_of() if row["setting"]["model"] != base]
    with pytest.raises(ValueError, match=f"ratio_vs_{base} is there"):
        measurements_add.add(written(rows), store)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[]", "has 0 entries"),
        ("null", "the file is null"),
        ("[3]", "row 1 is 3; it must be of type object"),
        ('{"name": "a.b", "name": "a.b"}', "'name' stands twice"),
        ("[" * 100_000, "without end|no JSON"),
    ],
)
def test_what_is_no_row_is_refused_in_plain_words(text, says, written, store):
    with pytest.raises(ValueError, match=says):
        measurements_add.add(written(text), store)
    assert not (store / "phone.jsonl").exists()


def test_a_file_cut_short_anywhere_is_refused(written, store):
    text = json.dumps(run_of(models=[("spiking", 9.0)]))
    for end in range(1, len(text), 97):
        with pytest.raises(ValueError, match="no JSON"):
            measurements_add.load(written(text[:end]))


def test_files_that_are_none_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="where there is none"):
        measurements_add.load(tmp_path / "nowhere.json")
    path = tmp_path / "picture.json"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        measurements_add.load(path)
    monkeypatch.setattr(measurements_add, "LARGEST", 3)
    with pytest.raises(ValueError, match="6 bytes; a phone's rows have 3 at most"):
        measurements_add.load(path)


def test_nothing_is_added_twice(written, store):
    rows = run_of()
    measurements_add.add(written(rows), store)
    before = (store / "phone.jsonl").read_bytes()
    with pytest.raises(ValueError, match="already"):
        measurements_add.add(written(rows[::-1]), store)
    copied = copy.deepcopy(rows)
    for row in copied:
        row["provenance"]["run"], row["setting"]["device"] = "b2" * 16, "another name"
    with pytest.raises(ValueError, match="already"):
        measurements_add.add(written(copied), store)
    assert (store / "phone.jsonl").read_bytes() == before


def test_a_run_that_a_crash_cut_is_made_whole(written, store):
    rows = run_of()
    path = written(rows)
    measurements_add.add(path, store)
    file = store / "phone.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:40])
    with pytest.warns(UserWarning, match="unfinished"):
        added = measurements_add.add(path, store)
    assert added.known == ("fp32",)
    assert "There before: fp32" in added.sentence()
    assert file.read_bytes() == b"".join(lines)


def test_a_later_run_takes_the_place_of_an_earlier_one_and_both_are_kept(written, store):
    measurements_add.add(written(run_of()), store)
    later = run_of(run="c3" * 16, models=[("fp32", 7.0), ("int8", 4.0), ("ptq12", 6.5)])
    measurements_add.add(written(later), store)
    assert len(measurements.read("phone.latency", store=store, history=True)) == 6
    (newest,) = measurements.read("phone.latency", store=store, model="int8")
    assert newest.figures["p50_ms"] == 4.49


def add_both(paths, store, refused):
    """Add the files, three times over; count how often they were there already."""
    for path in paths * 3:
        try:
            measurements_add.add(path, store)
        except ValueError as error:
            refused.put(str(error))


def test_two_at_once_add_once(written, store):
    paths = [written(run_of(run=f"{i:032x}", models=[("spiking", 9.0 + i)]), f"{i}.json") for i in range(5)]
    measurements_add.load(paths[0])  # imports what the processes need
    fork = multiprocessing.get_context("fork")
    refused = fork.Queue()
    running = [fork.Process(target=add_both, args=(paths, store, refused)) for _ in range(3)]
    for process in running:
        process.start()
    says = [refused.get(timeout=60) for _ in range(3 * 3 * 5 - 5)]
    for process in running:
        process.join(timeout=60)
    assert all("already" in text for text in says)
    assert len(measurements.read("phone.latency", store=store, history=True)) == 5


def test_the_command_adds_and_says_so(written, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path / "mine"))
    monkeypatch.setattr(sys, "argv", ["neurolab", "measurements", "add", str(written(run_of()))])
    says = []
    for status in (0, cli.BAD_USE):
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert (stopped.value.code or 0) == status
        says.append(capsys.readouterr())
    assert "3 added" in says[0].out
    assert says[1].out == ""
    assert says[1].err.startswith("neurolab: ")
    assert "already" in says[1].err
    assert len(measurements.read("phone.latency", store=tmp_path / "mine" / "measurements")) == 3
