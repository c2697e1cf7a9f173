"""Asking the assistant: free text, or a relation and a name picked from what it was taught."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from neurolab import facts
from neurolab.assistant import Assistant
from neurolab.relations import KINDS, RELATIONS, Language

LABELS: dict[Language, str] = {"th": "ภาษาไทย", "en": "English"}


def relation_choices() -> list[tuple[str, str]]:
    """(what the reader sees, key) of each relation."""
    return [(f"{key}: {spec.about}", key) for key, spec in RELATIONS.items()]


def subjects(relation: str, language: Language) -> list[str]:
    """The names that can be asked about in a relation, sorted; translations from the other language too."""
    if relation not in RELATIONS:
        raise ValueError(f"relation {relation!r}: must be one of {sorted(RELATIONS)}")
    found = {f.subject[language] for f in facts.facts() if f.relation == relation}
    return sorted(found)


def compute(assistants: dict[str, Assistant], question: str) -> dict[str, Any]:
    """Each assistant's answer to one question, and the right one where the data knows it (else None)."""
    truth = next((q.answer for q in facts.questions() if q.text == question.strip()), None)
    return {"answers": {name: a.ask(question) for name, a in assistants.items()}, "truth": truth}


def answer_table(result: dict[str, Any]) -> str:
    """The result as an HTML table; right and wrong are said in words, not by colour alone."""
    rows = []
    for name, answer in result["answers"].items():
        verdict = "" if result["truth"] is None else ("right" if answer == result["truth"] else "wrong")
        rows.append(
            f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(answer) or '(nothing)'}</td>"
            f"<td>{verdict}</td></tr>"
        )
    known = result["truth"]
    if known is None:
        foot = "The course's data has no answer to this very text, so nobody marks it."
    else:
        foot = f"CLDR says: <b>{html.escape(known)}</b>"
    return f"<table><tbody>{''.join(rows)}</tbody></table><p>{foot}</p>"


class Picker(widgets.VBox):
    """A question box with a picker beside it. `assistants` maps a label to an assistant; all of them answer.

    Picking a language, a relation, a name and a phrasing writes the question into the box, where it can be
    edited; "Ask" (or Enter) answers what stands there.
    """

    def __init__(self, assistants: dict[str, Assistant]) -> None:
        if not assistants:
            raise ValueError("assistants {}: must hold at least one assistant")
        self.assistants = assistants
        self._picked = ""
        wide = widgets.Layout(width="100%", max_width="640px")
        style = {"description_width": "90px"}

        def row(kind: type, description: str, **more: Any) -> Any:
            return kind(description=description, layout=wide, style=style, **more)

        self.language = row(
            widgets.ToggleButtons, "Ask in", options=[(label, lang) for lang, label in LABELS.items()]
        )
        self.language.style.button_width = "120px"
        self.relation = row(widgets.Dropdown, "Relation", options=relation_choices(), value="currency used")
        self.into = row(
            widgets.Dropdown,
            "Name in",
            options=[("Thai, asking for English", "th"), ("English, asking for Thai", "en")],
        )
        self.name = row(widgets.Combobox, "Name", placeholder="type or pick a name", ensure_option=False)
        self.phrasing = row(widgets.BoundedIntText, "Phrasing", min=0, max=facts.PHRASINGS - 1, value=0)
        self.question = row(widgets.Text, "Question", continuous_update=False)
        self.button = widgets.Button(description="Ask", button_style="primary")
        self.output = widgets.HTML()
        super().__init__(
            [
                self.language,
                self.relation,
                self.into,
                self.name,
                self.phrasing,
                self.question,
                self.button,
                self.output,
            ]
        )
        for control in (self.language, self.relation, self.into):
            control.observe(self._names, "value")
        for control in (self.name, self.phrasing):
            control.observe(self._write, "value")
        self.button.on_click(lambda _: self.answer())
        self.question.observe(self._typed, "value")
        self._names()

    @property
    def _source(self) -> Language:
        """The language in which the name is written."""
        is_name = self.relation.value.startswith("name of ")
        return self.into.value if is_name else self.language.value

    def _names(self, _: Any = None) -> None:
        self.into.layout.display = "" if self.relation.value.startswith("name of ") else "none"
        options = subjects(self.relation.value, self._source)
        self.name.options = options
        wanted = {"th": {"territory": "ไทย"}, "en": {"territory": "Thailand"}}[self._source]
        kind = RELATIONS[self.relation.value].subject
        self.name.value = wanted.get(kind, options[0])
        self.name.placeholder = f"one of {len(options)} names: {KINDS[kind]['en']}"
        self._write()

    def _write(self, _: Any = None) -> None:
        if not self.name.value.strip():
            return
        is_name = self.relation.value.startswith("name of ")
        into: Language | None = ("en" if self.into.value == "th" else "th") if is_name else None
        self._picked = facts.ask(
            self.relation.value, self.language.value, self.phrasing.value, self.name.value, into
        )
        self.question.value = self._picked

    def _typed(self, change: Any) -> None:
        """Answer what was typed (Enter); a picked question waits for the button."""
        if change["new"] != self._picked:
            self.answer()

    def answer(self) -> None:
        """Answer what stands in the question box; a bad question gives its message instead."""
        try:
            self.output.value = answer_table(compute(self.assistants, self.question.value))
        except ValueError as error:
            self.output.value = f"<p role='alert'><b>Not asked:</b> {html.escape(str(error))}</p>"
