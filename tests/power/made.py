"""Recordings of power, made: no device was measured. Each is in the form that its tool writes.

In all of them the device idles at 1 W and then runs at 3 W, so what is right can be computed by hand.
`python tests/power/made.py` writes the files anew beside this one.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent


def watts(second: float, turn: float) -> float:
    """1 W before `turn`, 3 W from then on."""
    return 1.0 if second < turn else 3.0


def batterystats() -> str:
    """100 mAh idle in 1440 s, then 100 mAh in 480 s, at 4.0 V; before and after it is plugged in."""
    lines = [
        "9,0,i,vers,36,219,AP2A.made-for-a-test,AP2A.made-for-a-test",
        '9,hsp,0,0,"made for a test"',
        "9,h,0:RESET:TIME:1763733600000",
        "9,h,0,Bl=90,Bs=c,Bh=g,Bp=u,Bt=250,Bv=4100,Bcc=3600,+r,+BP",
        "9,h,5000,Bs=d,Bp=n,Bv=4000,-BP",
    ]
    charge = 3600
    for step in [14400] * 100 + [4800] * 100:
        charge -= 1
        extra = ",Bt=260" if charge % 7 == 0 else ""
        lines.append(f"9,h,{step},Bcc={charge}{extra}")
    lines += ["9,h,1000,+S", "9,h,1000,Bs=c,Bp=a,Bv=4150,+BP", "9,h,9000,Bcc=3450"]
    lines += ["9,0,l,bt,0,1921,1921,1920", "9,0,l,pws,4000,200,190,210", "9,0,l,dc,5,5,5,0,200,0"]
    return "\n".join(lines) + "\n"


def perfetto() -> str:
    """100 s at every second; on the rails half of the power, on the battery all of it; the run from 60 s."""
    lines = ['"ts","name","value"']
    big = mid = 0
    for second in range(101):
        ts = 338297039804951 + second * 1_000_000_000
        power = watts(second, 60)
        lines.append(f'{ts},"batt.current_ua",{-power / 4 * 1e6:.6f}')
        lines.append(f'{ts},"batt.voltage_uv",{4e6:.6f}')
        lines.append(f'{ts},"power.rails.cpu.big",{big:.6f}')
        lines.append(f'{ts},"power.rails.cpu.mid",{mid:.6f}')
        big, mid = big + int(power * 400_000), mid + int(power * 100_000)
    return "\n".join(lines) + "\n"


def power_hal() -> str:
    """Three reports: the zero, 60 s of idle, 40 s of run."""
    text, totals = "", {"[S2M_VDD_CPUCL2]:CPU(BIG)": 761330.5, "[VSYS_PWR_MMWAVE]:Cellular": 12.25}
    for elapsed, power in ((7_200_000, 0.5), (60_000, 1.0), (40_000, 3.0)):
        text += "\n============= PowerStats HAL 2.0 state residencies ==============\nElapsed time: 9 ms\n"
        text += "========== End of PowerStats HAL 2.0 state residencies ==========\n"
        text += "\n============= PowerStats HAL 2.0 energy consumers ==============\n"
        text += "CPU          :      761330.50 mWs\n"
        text += "========== End of PowerStats HAL 2.0 energy consumers ==========\n"
        text += "\n============= PowerStats HAL 2.0 energy meter ==============\n"
        text += f"Elapsed time: {elapsed} ms\n"
        text += f"  {'Channel':>32}   {'Cumulative Energy':>18} ({'Delta   ':>14})\n"
        for name, share in zip(totals, (0.75, 0.25), strict=True):
            delta = power * elapsed * share
            totals[name] += delta
            text += f"  {name:>32}   {totals[name]:14.2f} mWs ({delta:14.2f})\n"
        text += "========== End of PowerStats HAL 2.0 energy meter ==========\n"
    return text


def energy_value() -> str:
    """Two meters' files of the kernel, read every 5 s for 100 s, the second 2 ms later; the run from 60 s."""
    lines, joules = [], 0.0
    for second in range(0, 101, 5):
        at = 9_000_000 + second * 1000
        lines += [f"t={at}", f"CH0(T={at})[S10M_VDD_TPU], {3110656 + round(joules * 0.25e6)}"]
        lines += [f"CH1(T={at})[S2M_VDD_CPUCL2], {round(joules * 0.75e6)}"]
        lines += [f"t={at + 2}", f"CH0(T={at + 2})[VSYS_PWR_RFFE], 1000"]
        joules += 5 * watts(second, 60)
    return "\n".join(lines) + "\n"


def instruments() -> str:
    """100 rows of a second; a battery of 15 Wh: 6.67 % an hour is 1 W, idle; three times that in the run.

    A value that stood before is referred to, one row stands twice.
    """
    head = (
        '<?xml version="1.0"?>\n<trace-query-result>\n<node xpath="//trace-toc[1]/run[1]/data[1]/table[7]">'
        '<schema name="SystemPowerLevel"><col><mnemonic>start</mnemonic><name>Start</name>'
        "<engineering-type>start-time</engineering-type></col><col><mnemonic>duration</mnemonic>"
        "<name>Duration</name><engineering-type>duration</engineering-type></col><col><mnemonic>rate</mnemonic>"
        "<name>Power</name><engineering-type>percent-per-hour</engineering-type></col></schema>\n"
    )
    rows, known = [], {}
    for second in range(100):
        rate = f"{100 * watts(second, 60) / 15:.9f}"
        start = (
            f'<start-time id="{2 * second + 10}" fmt="00:{second:02d}.000">{second * 10**9 + 5}</start-time>'
        )
        length = (
            '<duration id="1" fmt="1.00 s">1000000000</duration>' if not second else '<duration ref="1"/>'
        )
        if rate in known:
            cell = f'<percent-per-hour ref="{known[rate]}"/>'
        else:
            known[rate] = 2 * second + 11
            cell = (
                f'<percent-per-hour id="{known[rate]}" fmt="{float(rate):.1f} %/hr">{rate}</percent-per-hour>'
            )
        rows.append(f"<row>{start}{length}{cell}</row>\n")
    return head + "".join([*rows, rows[5]]) + "</node></trace-query-result>\n"


def monsoon_library() -> str:
    """10 s, three samples of a packet with one stamp, as the maker's library writes; the run from 6 s."""
    lines = ["Time(ms),Main(mA),Main Voltage(V),"]
    for packet in range(501):
        second = packet / 50
        for off in (-4.0, 0.0, 4.0):
            lines.append(f"{second!r},{watts(second, 6) / 4 * 1000 + off!r},4.0,")
    return "\n".join(lines) + "\n"


def monsoon_powertool() -> str:
    """10 s of PowerTool's columns, in steps of 0.05 s; the run from 6 s."""
    lines = ["Time (s),Main Avg Current (mA),Main Avg Power (mW),Main Avg Voltage (V)"]
    for step in range(201):
        power = watts(step / 20, 6)
        lines.append(f"{step / 20:.2f},{power / 4 * 1000:.1f},{power * 1000:.1f},4.00")
    return "\n".join(lines) + "\n"


def usb_fnirsi() -> str:
    """4 s, four samples a packet; the run from 2 s; one packet is stamped 15 ms too early."""
    lines = ["", "timestamp sample_in_packet voltage_V current_A dp_V dn_V temp_C_ema energy_Ws capacity_As"]
    energy = capacity = 0.0
    for sample in range(401):
        second = sample / 100
        power = watts(second, 2)
        energy, capacity = energy + power / 100, capacity + power / 500
        early = 0.015 if sample // 4 == 30 else 0.0
        lines.append(
            f"{1763733600 + second - early:.3f} {sample % 4} {5:7.5f} {power / 5:7.5f} 0.010 0.012 25.100 "
            f"{energy:.6f} {capacity:.6f}"
        )
    return "\n".join(lines) + "\n"


def usb_km003c() -> str:
    """100 s, a sample each 0.5 s; the run from 60 s; the meter is plugged in backwards."""
    lines = ["timestamp_ms,vbus_µV,ibus_µA,vcc1_mV,vcc2_mV,vdp_mV,vdm_mV"]
    for sample in range(201):
        current = round(-watts(sample / 2, 60) / 5 * 1e6)
        lines.append(f"{40_000 + sample * 500},5000000,{current},1.2,330.5,0,0")
    return "\n".join(lines) + "\n"


FILES = {
    "made_batterystats.txt": batterystats,
    "made_perfetto.csv": perfetto,
    "made_power_hal.txt": power_hal,
    "made_energy_value.txt": energy_value,
    "made_instruments.xml": instruments,
    "made_monsoon_library.csv": monsoon_library,
    "made_monsoon_powertool.csv": monsoon_powertool,
    "made_usb_fnirsi.txt": usb_fnirsi,
    "made_usb_km003c.csv": usb_km003c,
}
"""The files by name, and what makes them."""

if __name__ == "__main__":
    for name, make in FILES.items():
        (HERE / name).write_text(make(), encoding="utf-8", newline="\n")
