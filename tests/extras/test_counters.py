"""Energy counters of graphics processors through zeus, with processors that we play."""

from zeus import device
from zeus.device.exception import ZeusBaseGPUError

from neurolab import energy_counters


class Played:
    """Two processors, the second too old to count; millijoules, as zeus gives them."""

    def __init__(self):
        self.millijoules = 5_000

    def __len__(self):
        return 2

    def get_total_energy_consumption(self, index):
        if index:
            raise ZeusBaseGPUError("not supported")
        self.millijoules += 250
        return self.millijoules


def test_processors_that_count_are_read_in_joules(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "get_gpus", Played)
    (one,) = energy_counters.found(tmp_path)
    assert one.name == "gpu-0"
    assert (one.read(), one.read()) == (5.5, 5.75)
    assert energy_counters.why_not(tmp_path) is None


def test_a_machine_without_any_has_no_counter(monkeypatch, tmp_path):
    def missing():
        raise ZeusBaseGPUError("no driver")

    monkeypatch.setattr(device, "get_gpus", missing)
    assert energy_counters.through_zeus() == []
    assert "not available here" in energy_counters.why_not(tmp_path)
