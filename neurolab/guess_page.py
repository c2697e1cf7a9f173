"""The guess as plain HTML for the static book: labelled form, a few lines of script, kept in localStorage."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurolab.guess import Guess, Revealed

_BOX = "border-left:.3rem solid #0072B2;padding:.5rem .8rem;margin:.6rem 0;max-width:46rem;line-height:1.5"
_FIELD = (
    "font:inherit;color:inherit;background:transparent;border:1px solid currentColor;"
    "border-radius:.3rem;padding:.3rem .6rem"
)

# Once per page: keeps and reads guesses. Where localStorage is closed, a guess lasts as long as the page.
_SCRIPT = """
window.neurolabGuess = window.neurolabGuess || (() => {
  const kept = {}, key = name => "neurolab.guess." + name;
  const read = name => {
    try { return JSON.parse(localStorage.getItem(key(name))) ?? kept[name] } catch { return kept[name] }
  };
  const keep = (name, answer) => {
    kept[name] = {answer};
    try { localStorage.setItem(key(name), JSON.stringify({answer})) } catch {}
    document.dispatchEvent(new CustomEvent("neurolab-guess", {detail: name}));
  };
  const words = (value, unit) => typeof value === "number"
    ? String(Number(value.toPrecision(4))) + (unit ? " " + unit : "") : value;
  const said = (name, unit) => {
    const entry = read(name);
    if (!entry) return "";
    return entry.answer === null ? "You skipped this one." : "You guessed " + words(entry.answer, unit) + ".";
  };
  const ask = (form, name, unit) => {
    const show = () => { form.querySelector("output").textContent = said(name, unit) };
    form.addEventListener("submit", event => {
      event.preventDefault();
      const field = form.elements["guess"];
      const answer = field.value === "" ? null : unit === null ? field.value : Number(field.value);
      if (answer !== null) keep(name, answer);
    });
    form.querySelector("button[type=button]").addEventListener("click", () => keep(name, null));
    document.addEventListener("neurolab-guess", event => { if (event.detail === name) show() });
    show();
  };
  const reveal = (box, name, unit, value) => {
    const [locked, open] = [box.querySelector("[data-locked]"), box.querySelector("[data-open]")];
    const show = () => {
      const entry = read(name);
      locked.hidden = !!entry; open.hidden = !entry;
      if (!entry) return;
      let text = said(name, unit);
      if (entry.answer === value) text += " That was right.";
      else if (typeof value === "number" && typeof entry.answer === "number")
        text += " Off by " + words(Math.abs(entry.answer - value), unit) + ".";
      box.querySelector("[data-guess]").textContent = text;
    };
    box.querySelector("button").addEventListener("click", () => keep(name, null));
    document.addEventListener("neurolab-guess", event => { if (event.detail === name) show() });
    show();
  };
  return {ask, reveal};
})();
"""


def _run(call: str) -> str:
    return f"<script>{_SCRIPT}{call}</script>"


def _js(value: object) -> str:
    """A value for a script element."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _id(prefix: str, name: str) -> str:
    return f"{prefix}-{name.replace('.', '-').replace('_', '-')}"


def ask(guess: Guess) -> str:
    """The form: radio buttons for choices, a number field otherwise, and a button to skip."""
    here = _id("guess", guess.name)
    row = "display:block;padding:.25rem 0"
    if guess.choices is not None:
        fields = "".join(
            f'<label style="{row}"><input type="radio" name="guess" required value="{escape(choice)}"> '
            f"{escape(choice)}</label>"
            for choice in guess.choices
        )
    else:
        about = f"Number from {guess.low:g} to {guess.high:g} {escape(guess.unit)}"
        bounds = f'min="{guess.low:g}" max="{guess.high:g}" step="{guess.step:g}"'
        style = f"{_FIELD};width:8rem"
        field = f'<input type="number" name="guess" required {bounds} style="{style}">'
        fields = f'<label style="{row}">{about}<br>{field}</label>'
    unit = None if guess.choices is not None else guess.unit
    return (
        f'<form id="{here}" class="neurolab-guess" style="{_BOX}">'
        '<fieldset style="border:0;padding:0;margin:0">'
        f'<legend style="font:inherit;float:none;width:auto"><strong>Your guess</strong>: '
        f"{escape(guess.question)}</legend>"
        f'{fields}<button type="submit" style="{_FIELD}">Keep my guess</button> '
        f'<button type="button" style="{_FIELD}">Skip</button> <output></output></fieldset></form>'
        + _run(f"neurolabGuess.ask(document.getElementById({_js(here)}), {_js(guess.name)}, {_js(unit)});")
    )


def answer(revealed: Revealed) -> str:
    """The measured value, hidden until a guess is kept (or the reader asks to see it all the same)."""
    guess, here = revealed.guess, _id("reveal", revealed.guess.name)
    unit = None if guess.choices is not None else guess.unit
    return (
        f'<div id="{here}" class="neurolab-guess" style="{_BOX}"><div data-locked>You have not guessed yet: '
        f'<a href="#{_id("guess", guess.name)}">{escape(guess.question)}</a> '
        f'<button type="button" style="{_FIELD}">Show it all the same</button></div>'
        '<div data-open role="status" hidden>'
        f"<strong>Measured: {escape(guess.words(revealed.value))}.</strong> "
        f"<span data-guess></span> {escape(revealed.note)}</div></div>"
        + _run(
            f"neurolabGuess.reveal(document.getElementById({_js(here)}), {_js(guess.name)}, {_js(unit)}, "
            f"{_js(revealed.value)});"
        )
    )
