"""Chapter 7's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from IPython.display import HTML, Markdown

from neurolab.export_rows import NOT_YET, PRECISIONS, RUNTIMES, SHIPPED, both, every, of, speeds
from neurolab.guess import Guess
from neurolab.measurements import read, sentence
from neurolab.paths import static
from neurolab.quantization_rows import spread
from neurolab.sparsity_words import times

SLOWEST = {"fp32": "that of floats", "int8": "that of 8 bits", "int4": "that of 4 bits"}
"""The files that the second guess may name."""

EQUAL = 1.05
"""Two speeds that are no further apart than this (a ratio) are called equal: a clock's noise is as large."""


def listed(names: Sequence[str]) -> str:
    """Files in words: "**8 bits**", "**8 bits** and **4 bits**", "**a**, **b** and **c**"."""
    said = [f"**{PRECISIONS[name]}**" for name in names]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def fastest_of(speed: Mapping[str, float], names: Iterable[str]) -> list[str]:
    """The fastest of some files, and those that are equally fast (`EQUAL`), in the order of names."""
    names = list(names)
    top = max(speed[name] for name in names)
    return [name for name in names if speed[name] * EQUAL >= top]


def phone_card() -> Any:
    """Where the phone page is: a link in the book, a command in a notebook."""
    if static():
        return HTML(
            '<p><a href="../phone/index.html"><strong>Open the assistant on this device</strong></a> '
            "(best on a phone; from this site nothing is sent anywhere).</p>"
        )
    return Markdown(
        "In a terminal: `neurolab phone` opens the page for this computer. `neurolab phone --lan` lets "
        "devices on your own network in, and prints the address with a QR code for your phone's camera."
    )


def equal_sentence() -> Any:
    """The goal of the chapter's equality: fp32 everywhere, int8 within half a point."""
    rows = read("export.runtime", model="assistant")
    floats = [r for r in rows if r.setting["precision"] == "fp32" and "equal_answers_percent" in r.figures]
    small = [
        r for r in rows if r.setting["precision"] in ("int8", "int8_static") and "exact_match" in r.figures
    ]
    if not floats:
        return Markdown(NOT_YET)
    same = [r for r in floats if r.figures["equal_answers_percent"] == 100]
    names = ", ".join(RUNTIMES.get(r.setting["runtime"], r.setting["runtime"]) for r in same)
    text = f"In floats {len(same)} of {len(floats)} runtimes give exactly torch's answers"
    text += f" ({names})" if names else ""
    if small:
        lost = [100 * (r.figures["exact_match_torch"] - r.figures["exact_match"]) for r in small]
        worst = max(lost)
        text += (
            f". In 8 bits the worst loses **{worst:.2f} points**"
            if worst > 0
            else ". In 8 bits none answers worse"
        )
    return sentence("{text}.", *floats, *small, text=text)


def fastest_sentence() -> Any:
    """What 8 bits and 4 bits bring in ONNX Runtime on this processor, packed and unpacked."""
    found = speeds("here")
    if "int8" not in found:
        return Markdown(NOT_YET)
    best = fastest_of(found, found)
    first = times(found["int8"], "floats")
    text = f"With 8 bits a token is {first if found['int8'] < 1 else f'**{first}**'} in ONNX Runtime"
    if "int4" in found:
        text += f", with 4 bits {times(found['int4'])}"
    if len(best) == 1:
        text += f"; the fastest file here is the one of {listed(best)}"
    else:
        text += f"; {listed(best)} are the fastest files here, and equally fast (within {EQUAL - 1:.0%})"
    if "int4_unpacked" in found:
        text += (
            ". The same 4 bits without a kernel of their own, turned into floats at each call, are "
            f"{times(found['int4_unpacked'], 'floats')}"
        )
    return sentence("{text}.", *read("export.latency", what="step"), text=text)


def verdict_of_places() -> tuple[str, str] | None:
    """The fastest file here, and the slowest one in a browser, floats among them; None before it is measured.

    Only files that one would ship and that were timed in both places count.  Where several are equally fast
    here and one of them is the slowest in a browser, it is that one.
    """
    here, browser = speeds("here"), speeds("browser")
    names = [name for name in ("fp32", *both()) if name in SHIPPED]
    if len(names) < 2:
        return None
    worst = min(names, key=lambda n: browser[n])
    best = worst if worst in fastest_of(here, names) else max(names, key=lambda n: here[n])
    return best, worst


def places_sentence() -> Any:
    """The chapter's surprise, if there is one: the fastest file here in a browser."""
    found = verdict_of_places()
    if found is None:
        return Markdown(NOT_YET)
    best, worst = found
    here, browser = speeds("here"), speeds("browser")
    equal = [n for n in fastest_of(here, (n for n in here if n in SHIPPED)) if n != best]
    if best == worst and best == "fp32":
        text = "The file that is fastest here, floats, is the **slowest in a browser**"
    elif best == worst:
        as_fast = f" (and {listed(equal)} {'is' if len(equal) == 1 else 'are'} as fast)" if equal else ""
        text = (
            f"The file that is fastest here, {PRECISIONS[best]}{as_fast}, is the **slowest in a browser**: "
            f"{times(here[best], 'floats')} on this processor, {times(browser[best], 'floats')} there"
        )
    else:
        text = (
            f"Fastest here is {PRECISIONS[best]}, {times(here[best], 'floats')}; in a browser it is "
            f"{times(browser[best], 'floats')}. Slowest there is **{PRECISIONS[worst]}**, "
            f"{times(browser[worst], 'floats')}"
        )
    text += f". {_taken(browser)}{_prompt()}"
    return sentence("{text}.", *read("export.browser", what="step"), text=text)


def _taken(browser: Mapping[str, float]) -> str:
    """What one would take in a browser, for one token after the other."""
    first = fastest_of(browser, (n for n in browser if n in SHIPPED))
    others = [n for n in browser if n in SHIPPED and n != "fp32"]
    if first != ["fp32"]:
        return f"In the browser one would take {listed(first)} ({times(browser[first[0]], 'floats')})"
    near = max(others, key=lambda n: browser[n])
    return (
        "In the browser plain **floats** are the fastest of all: the best file of fewer bits, "
        f"{PRECISIONS[near]}, is {times(browser[near])}"
    )


def _prompt() -> str:
    """The same for a prompt, where it turns out otherwise: the fastest file there, if not that of a token."""
    step, prompt = speeds("browser"), speeds("browser", "prompt")
    names = [n for n in prompt if n in SHIPPED and n in step]
    if len(names) < 2:
        return ""
    best = fastest_of(prompt, names)
    if set(best) & set(fastest_of(step, names)):
        return ""
    fast = max(prompt[n] for n in best)
    return f". That is for a token; for a prompt, many pieces at once, {listed(best)} win ({times(fast)})"


def lesson() -> Any:
    """The sentence to take along, as far as the rows bear it out; None before there are any."""
    found = verdict_of_places()
    if found is None:
        return None
    if found[0] == found[1]:
        return Markdown(
            "One and the same file won in one place and lost in the other. "
            "**Which format a file has, and who has a kernel for it there, mattered more than its bits.**"
        )
    return Markdown(
        "What is fastest in one place need not be so in the other. **Measure where it is going to run.**"
    )


def download_sentence() -> Any:
    """The smallest download and what it costs."""
    rows = [r for r in read("export.download") if "ratio_vs_fp32" in r.figures]
    if not rows:
        return Markdown(NOT_YET)
    small = min(rows, key=lambda r: r.figures["bytes"])
    return sentence(
        "The smallest download, {name}, has {size:,.0f} bytes: **{ratio:.1f} times** fewer than the floats, "
        "which are packed as well.",
        small,
        name=f"{small.setting['file']}.nlab",
        size=small.figures["bytes"],
        ratio=small.figures["ratio_vs_fp32"],
    )


def arm64_sentence() -> Any:
    """What the other processor said, and where it was wrong."""
    rows = [r for r in read("export.arm64") if "equal_answers_percent" in r.figures]
    if not rows:
        return Markdown(NOT_YET)
    wrong = [r for r in rows if r.figures["equal_answers_percent"] < 90]
    good = [r for r in rows if r not in wrong]
    text = ""
    if good:
        least = min(r.figures["equal_answers_percent"] for r in good)
        cores = len({r.setting["core"] for r in good})
        text = f"On {cores} kind{'s' if cores > 1 else ''} of emulated core every file gives " + (
            "**the same answers**" if least == 100 else f"at least **{least:.1f} %** of the same answers"
        )
        asked = [r.figures.get("questions", 0) for r in good]
        text += f" as here (on {min(asked)} to {max(asked)} questions)" if min(asked) else ""
    if wrong:
        worst = min(wrong, key=lambda r: r.figures["equal_answers_percent"])
        text += ("; but on" if text else "On") + (
            f" the core that the emulator calls `{worst.setting['core']}` the file of "
            f"{PRECISIONS[worst.setting['precision']]} gives {worst.figures['equal_answers_percent']:.0f} %: "
            "it runs, and is wrong"
        )
    return sentence("{text}.", *rows, text=text)


def spiking_sentence() -> Any:
    """Claim A24, in words."""
    exact, own = (
        every("export.spiking", "runtimes_exact"),
        every("export.spiking", "runtimes_with_spike_operator"),
    )
    if not exact or not own:
        return Markdown(NOT_YET)
    token = of("export.source_latency", "ratio_vs_fp32", model="spiking", what="step")
    has = "none has" if max(own) == 0 else f"{max(own):.0f} have"
    return sentence(
        "Of the runtimes here {has} an operator for spikes, and **{exact:.0f}** run the layer exactly all "
        "the same.{cost}",
        *read("export.spiking"),
        cost=f" Unrolled, a token of the spiking assistant is {times(token, 'one in floats')}."
        if token
        else "",
        has=has,
        exact=max(exact),
    )


def quantized_sentence() -> Any:
    """Claim D2's three figures, of ONNX Runtime's 8 bits."""
    rows = read("export.quantized")
    memory, latency = (
        every("export.quantized", key) for key in ("peak_memory_saved_percent", "latency_ratio")
    )
    process = every("export.quantized", "process_memory_saved_percent")
    energy = of("export.quantized", "energy_ratio")
    if not memory or not latency:
        return Markdown(NOT_YET)
    less = "less" if min(memory) >= 0 else "less (below zero: more)"
    text = "In 8 bits" + (" (ONNX Runtime, the mean of its two file formats)" if len(latency) > 1 else "")
    text += f" the network takes **{spread(memory, 0)} %** {less} memory at its peak"
    if process:
        text += f" (the whole process, with the runtime: {spread(process, 0)} %)"
    text += f", and a token is {spread(latency, 1)} times as fast"
    if energy is not None:
        text += f"; by the energy model (simulated) an answer takes {energy:.1f} times less energy"
        dram = of("export.quantized", "energy_ratio_dram")
        if dram is not None:
            text += f", {dram:.1f} times if the weights have to come from DRAM"
    return sentence("{text}.", *rows, text=text)


def page_sentence() -> Any:
    """The phone page's visits, in this machine's Chromium."""
    first, again = (
        of("phone.page", "first_visit_bytes", model="int8"),
        of("phone.page", "second_visit_bytes", model="int8"),
    )
    wait = of("phone.page", "first_token_ms", model="int8")
    if first is None or again is None or wait is None:
        return Markdown(NOT_YET)
    return sentence(
        "The first visit, with the runtime and the file of 8 bits, transfers **{first:.1f} MB**, the second "
        "{again:,.0f} bytes; the first piece of an answer is there after {wait:.0f} ms (in this machine's "
        "Chromium).",
        *read("phone.page", model="int8"),
        first=first / 1e6,
        again=again,
        wait=wait,
    )


def reveal_faster(guess: Guess) -> Any:
    """The first guess beside the measurement."""
    found = speeds("here").get("int8")
    if found is None:
        return Markdown(NOT_YET)
    return guess.reveal(round(found, 1), "ONNX Runtime, one thread, one token, against its own floats.")


def reveal_slowest(guess: Guess) -> Any:
    """The second guess beside the measurement: of SLOWEST, in a browser."""
    found = speeds("browser")
    if not set(SLOWEST) <= set(found):
        return Markdown(NOT_YET)
    worst = min(SLOWEST, key=lambda name: found[name])
    return guess.reveal(SLOWEST[worst], "One token in Chromium, by WebAssembly, on the same machine.")
