"""Energy counters, on made trees of files: which are read, how they wrap, what is said without any."""

import pytest

from neurolab import energy_counters
from neurolab.energy_counters import Counter, NotAvailable


def zone(root, folder, name, joules, most=262_143.0):
    place = root / "class" / "powercap" / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{round(1e6 * joules)}\n")
    (place / "max_energy_range_uj").write_text(f"{round(1e6 * most)}\n")
    return place / "energy_uj"


@pytest.fixture
def tree(tmp_path):
    """A machine with two packages, one of them with memory, as Linux shows it."""
    zone(tmp_path, "intel-rapl:0", "package-0", 100.5)
    zone(tmp_path, "intel-rapl:0:0", "core", 40.0)
    zone(tmp_path, "intel-rapl:0:1", "dram", 7.25)
    zone(tmp_path, "intel-rapl:1", "package-1", 90.0)
    zone(tmp_path, "intel-rapl:1:0", "dram", 3.0)
    zone(tmp_path, "intel-rapl:2", "psys", 500.0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 100.5)
    (tmp_path / "class" / "powercap" / "intel-rapl").mkdir()
    return tmp_path


def test_packages_and_memory_count_once_and_what_is_part_of_them_does_not(tree):
    found = energy_counters.rapl(tree)
    assert sorted((one.name, one.read()) for one in found) == [
        ("dram", 3.0), ("dram", 7.25), ("package-0", 100.5), ("package-1", 90.0),
    ]  # fmt: skip
    assert {one.wraps for one in found} == {262_143.0}
    assert energy_counters.why_not(tree) is None


def test_a_counter_that_begins_again_is_followed():
    wrapping = Counter("package-0", lambda: 0.0, wraps=1000.0)
    assert wrapping.between(990.0, 15.0) == 25.0
    assert wrapping.between(15.0, 15.0) == 0.0
    with pytest.raises(RuntimeError, match="gpu-0 went back from 5 to 4 J"):
        Counter("gpu-0", lambda: 0.0).between(5.0, 4.0)


def test_amds_older_driver_counts_its_sockets_where_there_is_no_rapl(tmp_path, tree):
    def made(root):
        folder = root / "class" / "hwmon" / "hwmon3"
        folder.mkdir(parents=True)
        for i, (label, joules) in enumerate([("Ecore000", 1), ("Esocket0", 55), ("Esocket1", 44)]):
            (folder / f"energy{i}_label").write_text(label)
            (folder / f"energy{i}_input").write_text(str(joules * 10**6))

    made(tmp_path / "amd")
    assert [(c.name, c.read()) for c in energy_counters.found(tmp_path / "amd")] == [
        ("Esocket0", 55.0),
        ("Esocket1", 44.0),
    ]
    made(tree)
    assert {c.name for c in energy_counters.found(tree)} == {"package-0", "package-1", "dram"}


def test_a_machine_without_counters_says_so_plainly(tmp_path):
    said = energy_counters.why_not(tmp_path)
    assert said.startswith("not available here: this machine shows no energy counter")
    assert str(tmp_path / "class" / "powercap") in said
    with pytest.raises(NotAvailable, match="not available here"):
        energy_counters.per_token(lambda: 1, [])


def test_counters_that_only_root_may_read_are_named(tmp_path, monkeypatch):
    path = zone(tmp_path, "intel-rapl:0", "package-0", 5.0)
    text = energy_counters._text
    monkeypatch.setattr(energy_counters, "_text", lambda p: None if p.name == "energy_uj" else text(p))
    assert energy_counters.found(tmp_path) == []
    assert f"{path} may be read by root only (sudo chmod a+r {path}" in energy_counters.why_not(tmp_path)


def test_what_no_program_should_write_there_is_left_out(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 5.0).write_text("no number")
    assert energy_counters.found(tmp_path) == []


class Bench:
    """A machine whose clock and counter are ours: 10 W idle, 4 J more for each call of 1 s."""

    def __init__(self, monkeypatch):
        self.now, self.joules = 0.0, 200.0
        monkeypatch.setattr(energy_counters.time, "perf_counter", lambda: self.now)

    def sleep(self, seconds):
        self.now += seconds
        self.joules += 10 * seconds

    def run(self):
        self.sleep(1.0)
        self.joules += 4
        return 8


def test_joules_per_token_are_what_is_left_when_idle_is_subtracted(monkeypatch):
    bench = Bench(monkeypatch)
    counter = Counter("package-0", lambda: bench.joules % 230, wraps=230.0)  # begins again while we look
    found = energy_counters.per_token(bench.run, [counter], seconds=5.0, sleep=bench.sleep)
    assert found["joules_per_token"] == pytest.approx(0.5)
    assert found["idle_watts"] == pytest.approx(10.0)
    assert found["busy_watts"] == pytest.approx(14.0)
    assert (found["tokens"], found["counters"]) == (40, ["package-0"])


def test_bad_input_is_refused(monkeypatch):
    bench = Bench(monkeypatch)
    counter = Counter("package-0", lambda: bench.joules)
    with pytest.raises(ValueError, match="seconds 0: must be above 0"):
        energy_counters.per_token(bench.run, [counter], seconds=0)

    def nothing():
        bench.sleep(1.0)
        return 0

    with pytest.raises(RuntimeError, match="no token"):
        energy_counters.per_token(nothing, [counter], seconds=2.0, sleep=bench.sleep)
