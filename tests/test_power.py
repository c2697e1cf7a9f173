"""Recordings of power become joules per token. The files (tests/power) are made: none was measured."""

import inspect
import math
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurolab import cli, energy_steps, power
from neurolab.paths import ROOT
from neurolab.power import android, apple, hal, meters, recording, tables
from neurolab.power.recording import PerToken, Stretch, of_watts, per_token
from tests.power import made

# file, options, (idle from, to), (run from, to), tokens, joules per token, doubt allowed for rounding
CASES = {
    "made_batterystats.txt": ({}, (0, 1440), (1440, 1920), 1200, 0.8),
    "made_perfetto.csv": ({}, (5, 55), (65, 95), 75, 0.4),
    "made_power_hal.txt": ({}, (0, 60), (60, 100), 100, 0.8),
    "made_energy_value.txt": ({}, (5, 55), (65, 95), 75, 0.8),
    "made_instruments.xml": ({"battery_wh": 15.0}, (5, 60), (60, 95), 70, 1.0),
    "made_monsoon_library.csv": ({}, (0.5, 5.5), (6.5, 9.5), 15, 0.4),
    "made_monsoon_powertool.csv": ({}, (0.5, 5.5), (6.5, 9.5), 15, 0.4),
    "made_usb_fnirsi.txt": ({}, (0.5, 1.5), (2.5, 3.5), 5, 0.4),
    "made_usb_km003c.csv": ({}, (5, 55), (65, 95), 75, 0.8),
}
FORMS = {
    "made_batterystats.txt": "batterystats",
    "made_perfetto.csv": "perfetto",
    "made_power_hal.txt": "power_hal",
    "made_energy_value.txt": "power_hal",
    "made_instruments.xml": "instruments",
    "made_monsoon_library.csv": "monsoon",
    "made_monsoon_powertool.csv": "monsoon",
    "made_usb_fnirsi.txt": "usb_meter",
    "made_usb_km003c.csv": "usb_meter",
}


def told(recorded, idle, run, tokens) -> PerToken:
    return per_token(recorded.stretch(*run), recorded.stretch(*idle), tokens)


@pytest.mark.parametrize("name", made.FILES)
def test_the_files_are_those_that_are_made_here(name):
    assert (made.HERE / name).read_text(encoding="utf-8") == made.FILES[name]()
    assert name.startswith("made_")


@pytest.mark.parametrize("name", CASES)
def test_each_format_gives_the_joules_per_token_that_were_put_in(name):
    options, idle, run, tokens, joules = CASES[name]
    found = told(power.read(made.HERE / name, **options), idle, run, tokens)
    assert found.joules == pytest.approx(joules, rel=1e-6)
    assert found.idle.watts * 3 == pytest.approx(found.run.watts, rel=1e-6)
    assert power.guess(made.FILES[name]()) == FORMS[name]


def test_every_format_is_tested():
    assert set(FORMS.values()) == set(power.FORMATS)


@given(
    steps=st.lists(st.tuples(st.floats(0.001, 50), st.floats(0, 20)), min_size=1, max_size=12),
    at=st.floats(0, 1),
    began=st.floats(-1e3, 1e9),
)
def test_energy_is_the_area_under_the_power(steps, at, began):
    """Against the exact area of straight lines from sample to sample, and parts add up to the whole."""
    seconds = np.cumsum([0.0, *(length for length, _ in steps)])
    watts = np.array([1.0, *(height for _, height in steps)])
    made_of = of_watts(seconds, watts, "made")
    area = sum((watts[i] + watts[i + 1]) / 2 * length for i, (length, _) in enumerate(steps))
    assert made_of.whole.joules == pytest.approx(area, rel=1e-9, abs=1e-12)
    cut = float(at * seconds[-1])
    if 1e-6 < cut < seconds[-1] - 1e-6:
        parts = made_of.stretch(0, cut).joules + made_of.stretch(cut, float(seconds[-1])).joules
        assert parts == pytest.approx(area, rel=1e-9, abs=1e-12)
    profile = made_of.profile(7)
    assert sum((b - a) * w for a, b, w in profile) == pytest.approx(area, rel=1e-9, abs=1e-12)


@given(
    idle=st.floats(0.01, 5),
    extra=st.floats(0.1, 10),
    length=st.floats(1, 1000),
    before=st.floats(1, 1000),
    tokens=st.integers(1, 10_000),
)
def test_idle_power_is_taken_off_for_as_long_as_the_run_lasts(idle, extra, length, before, tokens):
    run, rest = Stretch(length, (idle + extra) * length), Stretch(before, idle * before)
    assert per_token(run, rest, tokens).joules == pytest.approx(extra * length / tokens, rel=1e-6)


def test_the_steps_of_a_counter_are_told_as_doubt():
    coarse = power.read(made.HERE / "made_batterystats.txt")
    assert coarse.step == pytest.approx(3.6 * 4.0)  # 1 mAh at 4 V
    short = told(coarse, (0, 144), (1440, 1488), 120)
    assert short.joules == pytest.approx(0.8)
    assert short.doubt == pytest.approx(14.4 * (1 + 48 / 144) / 120)
    assert "20 % of it open: run longer" in short.sentence()
    long = told(coarse, (0, 1440), (1440, 1920), 1200)
    assert long.doubt < 0.02
    assert "open" not in long.sentence()
    assert told(power.read(made.HERE / "made_usb_km003c.csv"), (5, 55), (65, 95), 75).doubt == 0


@pytest.mark.parametrize(
    ("run", "idle", "tokens", "says"),
    [
        (Stretch(10, 30), Stretch(10, 10), 0, "tokens is 0"),
        (Stretch(10, 30), Stretch(10, 10), 2.5, "tokens is 2.5"),
        (Stretch(10, 30), Stretch(10, 10), True, "tokens is True"),
        (Stretch(10, 10), Stretch(10, 10), 5, "no energy is left"),
        (Stretch(10, 10), Stretch(10, 30), 5, "the run draws 1 W and idle 3 W"),
    ],
)
def test_what_gives_no_energy_per_token_is_refused(run, idle, tokens, says):
    with pytest.raises(ValueError, match=says):
        per_token(run, idle, tokens)


@pytest.mark.parametrize("stretch", [(-1, 5), (5, 5), (6, 5), (0, 101), (math.nan, 5)])
def test_a_stretch_lies_inside_the_recording(stretch):
    with pytest.raises(ValueError, match="<= 100, where the recording ends"):
        power.read(made.HERE / "made_power_hal.txt").stretch(*stretch)


def test_a_recording_knows_when_it_began():
    assert power.read(made.HERE / "made_batterystats.txt").began == pytest.approx(1763733605)
    assert power.read(made.HERE / "made_usb_fnirsi.txt").began == pytest.approx(1763733600)


def test_bad_recordings_are_refused():
    for seconds, joules, says in [
        ([0.0], [0.0], "two or more"),
        ([0.0, 1.0], [0.0, 1.0, 2.0], "two or more"),
        ([0.0, 1.0], [0.0, math.nan], "finite"),
        ([1.0, 2.0], [0.0, 1.0], "rise from 0"),
        ([0.0, 0.0], [0.0, 1.0], "rise from 0"),
    ]:
        with pytest.raises(ValueError, match=says):
            recording.Recording(np.array(seconds), np.array(joules), "made")
    with pytest.raises(ValueError, match="falls back at sample 3"):
        of_watts([0, 2, 1], [1, 1, 1], "made")
    with pytest.raises(ValueError, match="parts is 0"):
        of_watts([0, 1], [1, 1], "made").profile(0)
    with pytest.raises(ValueError, match="no time in common"):
        recording.of_counters([([0, 1], [0, 1]), ([2, 3], [0, 1])], "made", step=1)
    with pytest.raises(ValueError, match="a counter of energy falls"):
        recording.of_counters([([0, 1], [1, 0])], "made", step=1)


def test_batterystats_reads_the_stretch_on_battery_only():
    text = made.batterystats()
    found = android.batterystats(text)
    assert found.whole.joules == pytest.approx(200 * 3.6 * 4.0)
    assert "at its battery" in found.what
    twice = text + "9,h,1000,Bp=n,Bs=d\n9,h,1000,Bcc=3449\n"
    assert "longest stretch" in android.batterystats(twice).notes[1]
    assert android.batterystats(twice).whole.joules == found.whole.joules


def test_a_loss_of_charge_costs_it_at_the_mean_voltage():
    found = recording.of_charge([7, 8, 10], [100, 90, 90], [4.0, 3.8, 3.6], "made", step=1)
    assert found.joules.tolist() == [0, pytest.approx(39), pytest.approx(39)]
    assert found.seconds.tolist() == [0, 1, 3]


HISTORY = "9,h,0:RESET:TIME:0\n9,h,0,Bl=90,Bp=n,Bv=4000,Bcc=100\n"


def test_of_changes_at_one_moment_the_last_holds():
    lines = "9,h,10000,Bcc=99\n9,h,0,Bcc=98\n9,h,10000,Bcc=97\n"
    found = android.batterystats(HISTORY + lines)
    assert found.seconds.tolist() == [0, 10, 20]
    assert found.joules.tolist() == [0, pytest.approx(2 * 14.4), pytest.approx(3 * 14.4)]


@pytest.mark.parametrize("mark", ["START", "SHUTDOWN", "*OVERFLOW*"])
def test_a_restart_ends_a_stretch_of_history(mark):
    lines = "9,h,10000,Bcc=99\n9,h,500:" + mark + "\n9,h,1000,Bcc=98\n9,h,60000,Bcc=97\n"
    found = android.batterystats(HISTORY + lines)
    assert found.whole == Stretch(60.0, pytest.approx(14.4), pytest.approx(14.4))
    assert found.began == pytest.approx(11.5)
    assert "restarted" in found.notes[1]


def test_batterystats_counts_per_cent_where_there_is_no_charge_counter():
    lines = [line.split(",Bcc")[0] for line in made.batterystats().splitlines()]
    lines = [line for line in lines if line.count(",") > 2 or "TIME" in line]
    at = next(i for i, line in enumerate(lines) if "Bp=n" in line) + 1
    lines[at:at] = [f"9,h,360000,Bl={level}" for level in (89, 88, 87)]
    found = android.batterystats("\n".join(lines))
    assert found.step == pytest.approx(40 * 3.6 * 4.0)  # 1 % of the 4000 mAh of `pws`
    assert found.stretch(0, 1080).joules == pytest.approx(3 * 40 * 3.6 * 4.0)
    assert android.batterystats("\n".join(lines), battery_mah=2000).step == pytest.approx(20 * 3.6 * 4.0)
    with pytest.raises(ValueError, match="battery_mah is 0"):
        android.batterystats("\n".join(lines), battery_mah=0)
    with pytest.raises(ValueError, match="give battery_mah"):
        android.batterystats("\n".join(line for line in lines if "pws" not in line))


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (lambda text: text.replace("Bp=n", "Bp=u"), "on battery nowhere"),
        (lambda text: text.replace("Bcc=3500", "Bcc=3599"), "the battery's charge rises 1440 s into"),
        (lambda text: text.replace("Bcc=3500", "Bcc=x"), "'x' is no number"),
        (lambda text: text.replace("9,h,", "9,x,"), "batterystats -c --history"),
    ],
)
def test_a_history_that_tells_no_energy_is_refused(alter, says):
    with pytest.raises(ValueError, match=says):
        android.batterystats(alter(made.batterystats()))


def test_perfetto_reads_rails_or_the_battery():
    text = made.perfetto()
    rails = android.perfetto(text)
    assert rails.what == "power rails: rails.cpu.big, rails.cpu.mid"
    assert android.perfetto(text, rails="*.big").stretch(65, 95).watts == pytest.approx(3 * 0.4)
    battery = android.perfetto(text, source="battery")
    assert told(battery, (5, 55), (65, 95), 75).joules == pytest.approx(0.8, rel=1e-6)
    assert "unplugged" in battery.notes[0]
    tabs = text.replace('"', "").replace(",", "\t")
    assert android.perfetto(tabs, source="battery").whole.joules == battery.whole.joules
    without = "\n".join(line for line in text.splitlines() if "voltage" not in line)
    assert android.perfetto(without, source="battery", volts=4.0).whole.joules == battery.whole.joules


def test_perfetto_counts_the_charge_where_there_is_no_current():
    lines = ["ts,name,value"]
    for second in range(0, 1000, 100):
        lines += [f"{second * 10**9},batt.charge_uah,{3_000_000 - second * 100}"]
        lines += [f"{second * 10**9},batt.voltage_uv,4000000"]
    found = android.perfetto("\n".join(lines))
    assert found.whole.watts == pytest.approx(0.0001 * 3600 * 4)
    assert found.step == pytest.approx(0.01 * 3600 * 4)


@pytest.mark.parametrize(
    ("alter", "options", "says"),
    [
        (lambda text: text, {"source": "usb"}, "source is 'usb'"),
        (lambda text: text, {"rails": "*.gpu"}, "none of the trace's rails .rails.cpu.big, rails.cpu.mid."),
        (lambda text: text.replace("-750000.0", "750000.0"), {"source": "battery"}, "changes its sign"),
        (lambda text: text.replace("voltage_uv", "x"), {"source": "battery"}, "has no voltage"),
        (lambda text: text.replace("current_ua", "x"), {"source": "battery"}, "no battery counters"),
        (lambda text: text.replace('"name"', '"track"'), {}, "columns are ts, track, value"),
        (lambda text: text[:-25], {}, "cut short"),
        (lambda text: text.replace("-250000.000000", "[NULL]", 1), {}, "no number"),
    ],
)
def test_a_trace_that_tells_no_energy_is_refused(alter, options, says):
    with pytest.raises(ValueError, match=says):
        android.perfetto(alter(made.perfetto()), **options)


def test_the_power_hal_prints_old_and_new_forms():
    text = made.power_hal()
    new = hal.power_hal(text)
    assert new.seconds.tolist() == [0, 60, 100]
    assert hal.power_hal(text, rails="*CPU*").whole.joules == pytest.approx(0.75 * 180)
    old = text.replace("HAL 2.0 energy meter", "HAL 1.0 rail energy data")
    old = old.replace("[S2M_VDD_CPUCL2]:CPU(BIG)", "   cpu_big   S2M_VDD_CPUCL2")
    found = hal.power_hal(old)
    assert found.whole.joules == new.whole.joules
    assert "cpu_big S2M_VDD_CPUCL2" in found.what
    first = text.index("HAL 2.0 energy meter")
    none = text[:first] + text[first:].replace("(    2700000.00)", "(          none)", 1)
    assert hal.power_hal(none).whole.joules == new.whole.joules  # the first report only sets the zero


@pytest.mark.parametrize(
    ("alter", "options", "says"),
    [
        (lambda text: "", {}, "no report of the power HAL"),
        (lambda text: text[: text.index("Elapsed time: 60000")], {}, "one report only"),
        (lambda text: text.replace("Elapsed time: 40000 ms\n", ""), {}, "report 3 tells no time"),
        (lambda text: text, {"rails": "GPU"}, "report 2 has .S2M_VDD_CPUCL2.:CPU.BIG."),
        (lambda text: text.replace("(      90000.00)", ""), {}, "without its difference"),
        (lambda text: text.replace("      90000.00)", "     -90000.00)"), {}, "a counter of energy fell"),
    ],
)
def test_a_report_that_tells_no_energy_is_refused(alter, options, says):
    with pytest.raises(ValueError, match=says):
        hal.power_hal(alter(made.power_hal()), **options)


def test_energy_value_files_are_read_rail_by_rail():
    text = made.energy_value()
    assert hal.power_hal(text, rails="*TPU").stretch(65, 95).watts == pytest.approx(0.75)
    assert hal.power_hal(text, rails="*RFFE").whole.joules == 0
    with pytest.raises(ValueError, match="there are S10M_VDD_TPU, S2M_VDD_CPUCL2, VSYS_PWR_RFFE"):
        hal.power_hal(text, rails="GPU")
    with pytest.raises(ValueError, match="line 4 is 'oops'"):
        hal.power_hal(text.replace("t=9000002", "oops"))
    with pytest.raises(ValueError, match="overflowed"):
        hal.power_hal(text.replace("CPUCL2], 0\n", "CPUCL2], 999999999999\n"))


@pytest.mark.parametrize(
    ("alter", "options", "says"),
    [
        (lambda text: text, {"battery_wh": 0}, "battery_wh is 0"),
        (lambda text: text, {"battery_wh": 15, "health": 1.2}, "health is 1.2"),
        (lambda text: text[:900], {"battery_wh": 15}, "no whole XML"),
        (lambda text: text.replace("SystemPowerLevel", "cpu-profile"), {"battery_wh": 15}, "but cpu-profile"),
        (lambda text: text.replace("percent-per-hour</eng", "watts</eng"), {"battery_wh": 15}, "needed are"),
        (lambda text: text.replace('ref="11"', 'ref="999"'), {"battery_wh": 15}, "refers to 999"),
        (lambda text: text.replace(">6.6", ">x6"), {"battery_wh": 15}, "is no number"),
        (
            lambda text: text.replace(">7000000005<", ">7500000005<"),
            {"battery_wh": 15},
            "a gap of 0.5 s at 7",
        ),
        (
            lambda text: text.replace(">7000000005<", ">6500000005<"),
            {"battery_wh": 15},
            "an overlap of 0.5 s",
        ),
        (lambda text: text.replace(">6.6", ">-6"), {"battery_wh": 15}, "-6"),
        (
            lambda text: text.replace("6.666666667<", "0<").replace("20.000000000<", "0<"),
            {"battery_wh": 15},
            "cable",
        ),
        (lambda text: "<!DOCTYPE x [<!ENTITY a 'b'>]>" + text, {"battery_wh": 15}, "defines no entities"),
    ],
)
def test_an_export_that_tells_no_energy_is_refused(alter, options, says):
    altered = alter(made.instruments())
    assert altered != made.instruments() or options != {"battery_wh": 15}
    with pytest.raises(ValueError, match=says):
        apple.instruments(altered, **options)


def test_an_older_battery_holds_less():
    new, old = (apple.instruments(made.instruments(), battery_wh=15, health=share) for share in (1.0, 0.8))
    assert old.whole.joules == pytest.approx(0.8 * new.whole.joules)
    assert "12 Wh" in old.notes[0]


def test_the_monsoon_library_says_ms_and_writes_seconds():
    text = made.monsoon_library()
    assert meters.monsoon(text).whole.seconds == 10
    assert meters.monsoon(text, time_unit="ms").whole.seconds == pytest.approx(0.01)
    lines = text.splitlines()
    in_ms = [lines[0], *(f"{float(a) * 1000},{rest}" for a, rest in (x.split(",", 1) for x in lines[1:]))]
    with pytest.raises(ValueError, match=r"mean 0\.15 samples a second; say time_unit"):
        meters.monsoon("\n".join(in_ms))
    assert meters.monsoon("\n".join(in_ms), time_unit="ms").whole.seconds == pytest.approx(10)
    usb = text.replace("Main", "USB")
    assert meters.monsoon(usb, channel="usb").whole.joules == meters.monsoon(text).whole.joules
    for options, says in [({"channel": "aux"}, "channel is 'aux'"), ({"time_unit": "h"}, "time_unit is 'h'")]:
        with pytest.raises(ValueError, match=says):
            meters.monsoon(text, **options)
    with pytest.raises(ValueError, match="no current and voltage of usb"):
        meters.monsoon(text, channel="usb")


@pytest.mark.parametrize(
    "titles",
    [
        "Time(s),Voltage(V),Current(A)",
        "time [s];Voltage [V];Current [A]",
        "Elapsed Time (s)\tbus voltage (V)\tBus Current (A)",
        "timestamp,volts_V,amps_A",
    ],
)
def test_usb_meters_name_their_columns_in_many_ways(titles):
    cut = next((s for s in "\t;" if s in titles), ",")
    lines = [titles, *(cut.join(map(str, row)) for row in [(0, 5, 0.2), (10, 5, 0.2), (20, 5, 0.2)])]
    assert meters.usb_meter("\n".join(lines)).whole.watts == pytest.approx(1)


def test_units_times_of_day_and_power_are_read():
    text = "Time,Power(mW)\n12:00:00.5,1000\n12:00:01.5,1000\n12:01:00.5,1000\n"
    assert meters.usb_meter(text).whole == Stretch(60.0, pytest.approx(60.0))
    text = "Time,Power(mW)\n2026-11-20 23:59:59,1000\n2026-11-21 00:00:09,1000\n"
    assert meters.usb_meter(text).whole.seconds == 10
    text = "time_ms,current_now_uA,voltage_now_uV\n0,-250000,4000000\n1000,-250000,4000000\n"
    gauge = meters.usb_meter(text)
    assert (gauge.whole.watts, gauge.what) == (pytest.approx(1), "the whole phone, at its battery")
    assert "sign was turned" in gauge.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "time_s,voltage,current_A\n0,5,1\n1,5,1\n",
            "'voltage' has no unit; write one behind its name, of v, mv",
        ),
        ("time_s,voltage_V,current_kA\n0,5,1\n1,5,1\n", "current ka|neither"),
        ("time_s,voltage_V,volts_V,current_A\n0,5,5,1\n1,5,5,1\n", "2 columns of voltage"),
        (
            "time_s,temperature\n0,5\n1,5\n",
            "neither voltage and current nor power; there are time, temperature",
        ),
        ("volt_time,voltage_V\n0,5\n", "no column of time"),
        ("time_s,power_W\n0,5\n", "1 samples"),
        ("time_s,power_W\n", "no rows"),
        ("time_s,power_W\n0,5\n1,5\n0.5,5\n", "falls back by 0.5 s at row 3; two recordings"),
        ("time_s,power_W\n0,5\n1\n", "row 2 has 1 cells under 2 titles; was the file cut short"),
        ("time_s,power_W\n0,5\n1,nan\n", "no finite number"),
        ("Time,power_W\n25:00:00,5\n26:00:00,5\n", "'25:00:00' is no time of day"),
        ("nothing", "no line of column titles"),
    ],
)
def test_a_table_that_tells_no_energy_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        meters.usb_meter(text)


@pytest.mark.parametrize(
    ("title", "name", "unit"),
    [
        ("Main Voltage(V)", "main voltage", "v"),
        ("vbus_µV", "vbus", "uv"),
        ("ibus_μA", "ibus", "ua"),
        ('"ts"', "ts", ""),
        ("temp_C_ema", "temp c ema", ""),
        ("Power [mW]", "power", "mw"),
    ],
)
def test_titles_fall_into_name_and_unit(title, name, unit):
    assert tables.header(title) == (name, unit)


def test_files_are_told_apart_and_faults_named(tmp_path):
    def wrong(name, content, says, **options):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=says) as caught:
            power.read(path, **options)
        assert str(path) in str(caught.value)

    wrong("a.txt", b"hello", "none of the formats batterystats, perfetto")
    wrong("a.csv", b"time_s,power_W\n0,1\n1,1\n", "rails is no option of usb_meter; it takes none", rails="*")
    wrong("a.xml", made.instruments().encode(), "needs battery_wh")
    wrong("a.perfetto-trace", b"\n\0\xa2\x01", "trace_processor query a.perfetto-trace .select ts")
    with pytest.raises(ValueError, match="form is 'trepn'"):
        power.read(tmp_path / "a.txt", "trepn")
    with pytest.raises(ValueError, match="no such file"):
        power.read(tmp_path / "b.txt")
    (tmp_path / "run.trace").mkdir()
    with pytest.raises(ValueError, match="xctrace export"):
        power.read(tmp_path / "run.trace")
    windows = tmp_path / "meter.csv"
    for encoding in ("utf-16", "latin-1", "utf-8-sig"):
        windows.write_bytes(
            "time_s,vbus_µV,ibus_µA\r\n0,5000000,200000\r\n1,5000000,200000\r\n".encode(encoding)
        )
        assert power.read(windows).whole.watts == pytest.approx(1)


@pytest.fixture
def call(monkeypatch, capsys):
    """`neurolab measurements energy ...` in this process: (status, output, errors)."""

    monkeypatch.setenv("COLUMNS", "200")

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["neurolab", "measurements", "energy", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return called


def test_the_command_shows_the_power_and_then_the_energy(call):
    file = made.HERE / "made_power_hal.txt"
    status, shown, _ = call(file)
    assert status == 0
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["0.00", "to", "60.00", "s", "1.000", "W"],
        ["60.00", "to", "100.00", "s", "3.000", "W"],
    ]
    status, shown, _ = call(file, "--tokens", 100, "--idle", "0:60", "--run", "60:100")
    assert (status, shown.splitlines()[1][:17]) == (0, "0.8 J per token: ")
    _, shown, _ = call(file, "--tokens", 100, "--idle", "0:60", "--run", "60:100", "--rails", "*CPU*")
    assert shown.splitlines()[1][:17] == "0.6 J per token: "


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tokens", 5], "belong together"),
        (["--tokens", 5, "--run", "60-100", "--idle", "0:60"], "run is '60-100'; allowed is FROM:TO"),
        (["--tokens", 5, "--run", "60:1000", "--idle", "0:60"], "<= 100, where the recording ends"),
        (["--battery-wh", 12], "battery_wh is no option of power_hal; it takes rails"),
        (["--format", "trepn"], "form is 'trepn'; allowed are batterystats"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(call, arguments, says):
    status, _, errors = call(made.HERE / "made_power_hal.txt", *arguments)
    assert (status, errors.count("\n")) == (cli.BAD_USE, 1)
    assert says in errors


def test_the_steps_name_formats_options_and_sources_that_exist(call):
    assert [way.form for way in energy_steps.WAYS] == list(power.FORMATS)
    known = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    _, options, _ = call("--help")
    for way in energy_steps.WAYS:
        assert way.sources
        assert all(f"{{{key}," in known for key in way.sources), way.name
        commands = [step for step in way.steps if "neurolab measurements energy" in step]
        assert "--tokens N" in commands[-1]
        for option in re.findall(r"--[a-z-]+", " ".join([*commands, *re.findall(r"`(--[^`]*)`", way.trap)])):
            assert option in options, option
        shown = energy_steps.steps(way.form).data
        assert shown.count("\n") == len(way.steps) + 1
        assert way.name in energy_steps.table().data
        assert way.steps[0] in energy_steps.all_steps().data
    assert energy_steps.steps().data.startswith("1. Charge")
    assert "Trepn" in energy_steps.table().data
    for key in re.findall(r"\((\w+), (\w+)\)", inspect.getsource(energy_steps))[-1]:
        assert f"{{{key}," in known
    with pytest.raises(ValueError, match="form is 'trepn'"):
        energy_steps.steps("trepn")


def test_the_query_asks_for_the_columns_that_are_read():
    assert re.search(r"select ts, t\.name as name, value from counter", android.PERFETTO_QUERY)
    assert "QUERY" in energy_steps.way("perfetto").steps[3]
