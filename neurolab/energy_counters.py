"""Energy by the counters of the machine itself: what the processor says it took, the second of three ways.

Linux shows Intel's and AMD's RAPL counters as files: /sys/class/powercap/intel-rapl:0/energy_uj counts
microjoules of a processor package and begins again at max_energy_range_uj. They count the whole package,
everything that runs on it, so what it takes while idle is measured before and subtracted, and the ratio of
two networks is worth more than the joules. Since a side channel was found in them (Lipp et al., 2021), only
root may read them on most systems. With the extra `counters` (the library zeus) the counters of NVIDIA's and
AMD's graphics processors are read, too.

Virtual machines, containers and phones mostly show none of these: `why_not` says what is missing. Figures
from here are measured and stand in columns of their own, never beside those of a model (`energy`) or of a
meter (`power`).
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYS = Path("/sys")
POWERCAP, HWMON = Path("class/powercap"), Path("class/hwmon")
SECONDS = 5.0
"""How long a stretch is, idle or busy: counters step every millisecond or so, and noise is what is left."""


class NotAvailable(RuntimeError):
    """This machine shows no energy counter that may be read; the message says what is missing."""


@dataclass(frozen=True)
class Counter:
    """One counter. name: package-0, dram, gpu-0, ...  read: joules so far.  wraps: joules at which it begins
    again, 0 for never."""

    name: str
    read: Callable[[], float]
    wraps: float = 0.0

    def between(self, first: float, last: float) -> float:
        """Joules from one reading to a later one, over at most one new beginning."""
        if last >= first:
            return last - first
        if not self.wraps:
            raise RuntimeError(f"{self.name} went back from {first:g} to {last:g} J, and it should not")
        return self.wraps - first + last


def _text(path: Path) -> str | None:
    """What a file says, None where it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _file(path: Path) -> Callable[[], float]:
    return lambda: int(path.read_text(encoding="utf-8")) / 1e6


def zones(root: Path = SYS) -> list[Path]:
    """The folders of RAPL's zones that stand for themselves: packages, and their memory (dram).

    A package holds its cores and its graphics; psys, the whole platform, holds the packages. A zone that two
    interfaces show (intel-rapl, intel-rapl-mmio) counts once.
    """
    found: dict[tuple[str, str], Path] = {}
    for folder in sorted((root / POWERCAP).glob("intel-rapl*:*")):
        name = _text(folder / "name")
        if name is None:
            continue
        parent = ":".join(folder.name.split(":")[1:2])
        if name.startswith("package") or name == "dram":
            found.setdefault((name, parent if name == "dram" else ""), folder)
    return list(found.values())


def rapl(root: Path = SYS) -> list[Counter]:
    """RAPL's counters that can be read."""
    made = []
    for folder in zones(root):
        now, most = _text(folder / "energy_uj"), _text(folder / "max_energy_range_uj")
        if now is not None and now.isdigit():
            name = _text(folder / "name") or folder.name
            wraps = int(most) / 1e6 if most is not None and most.isdigit() else 0.0
            made.append(Counter(name, _file(folder / "energy_uj"), wraps))
    return made


def hwmon(root: Path = SYS) -> list[Counter]:
    """The sockets of AMD's older driver (amd_energy); its cores are part of them."""
    made = []
    for path in sorted((root / HWMON).glob("hwmon*/energy*_input")):
        label = _text(path.with_name(path.name.replace("_input", "_label"))) or ""
        now = _text(path)
        if label.startswith("Esocket") and now is not None and now.isdigit():
            made.append(Counter(label, _file(path)))
    return made


def through_zeus() -> list[Counter]:
    """Graphics processors that count, through the library zeus (extra `counters`); none without it."""
    if importlib.util.find_spec("zeus") is None:
        return []
    from zeus import device
    from zeus.device.exception import ZeusBaseGPUError

    try:
        gpus = device.get_gpus()
    except ZeusBaseGPUError:
        return []
    made = []
    for i in range(len(gpus)):
        one = Counter(f"gpu-{i}", lambda i=i: gpus.get_total_energy_consumption(i) / 1e3)  # type: ignore[misc]
        try:
            one.read()
        except ZeusBaseGPUError:  # an older one, without a counter
            continue
        made.append(one)
    return made


def found(root: Path = SYS) -> list[Counter]:
    """Every counter that can be read here: RAPL's, or else the older driver's, and zeus's."""
    return [*(rapl(root) or hwmon(root)), *through_zeus()]


def why_not(root: Path = SYS) -> str | None:
    """Why there is none, in a sentence; None where there is one."""
    if found(root):
        return None
    locked = [folder for folder in zones(root) if (folder / "energy_uj").exists()]
    if locked:
        return (
            f"not available here: {locked[0] / 'energy_uj'} may be read by root only "
            f"(sudo chmod a+r {locked[0] / 'energy_uj'} opens it until the next start)"
        )
    return (
        "not available here: this machine shows no energy counter (no RAPL zone in "
        f"{root / POWERCAP}, no socket in {root / HWMON}; virtual machines and containers mostly hide them)"
    )


def spent(call: Callable[[], Any], counters: Sequence[Counter]) -> tuple[float, float]:
    """Joules that the counters saw during a call, all together, and its seconds."""
    first = [one.read() for one in counters]
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    last = [one.read() for one in counters]
    return sum(one.between(a, b) for one, a, b in zip(counters, first, last, strict=True)), seconds


def per_token(
    run: Callable[[], int],
    counters: Sequence[Counter] | None = None,
    *,
    seconds: float = SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Joules per token of `run`, which gives the tokens that it made and is called until `seconds` are over.

    Idle for as long first; its watts are subtracted. Figures: joules_per_token, idle_watts, busy_watts,
    tokens, counters. NotAvailable without counters; ValueError for seconds that are not above 0, RuntimeError
    if nothing was generated.
    """
    if seconds <= 0:
        raise ValueError(f"seconds {seconds}: must be above 0")
    counters = found() if counters is None else counters
    if not counters:
        raise NotAvailable(why_not() or "not available here: no counter was given")
    idle, rest = spent(lambda: sleep(seconds), counters)
    tokens = 0

    def busy() -> None:
        nonlocal tokens
        end = time.perf_counter() + seconds
        while True:
            tokens += run()
            if time.perf_counter() >= end:
                return

    joules, took = spent(busy, counters)
    if tokens < 1:
        raise RuntimeError("run generated no token")
    return {
        "joules_per_token": (joules - idle / rest * took) / tokens,
        "idle_watts": idle / rest,
        "busy_watts": joules / took,
        "tokens": tokens,
        "counters": [one.name for one in counters],
    }
