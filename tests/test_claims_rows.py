"""The ledger's evidence: each verdict shows the rows that decided it, and its links lead somewhere."""

import copy
import json
import re
from dataclasses import replace

import pytest
from docutils import nodes

from neurolab import book_sphinx, chapters, claims, claims_cli, claims_history, claims_summary
from neurolab.claim_rules import VERDICTS, judge
from neurolab.claims_cells import anchor, cells, rows_anchor, tagged
from neurolab.claims_rows import DASH
from neurolab.measurements import Measurement, append, read
from neurolab.paths import DATA, NOTEBOOKS, ROOT

MADE = {
    "command": "neurolab sweep compression",
    "processor": "Abacus 3",
    "date": "2026-11-21T09:14:02+00:00",
    "commit": "abc123",
}
SHIPPED = read()
IDS = [claim.id for claim in claims.claims()]
BY_ID = {claim.id: claim for claim in claims.claims()}


def measured(name, figures, kind="measured", **setting):
    return Measurement(name, 4, kind, setting, figures, MADE)


def ptq(drop=0.5, size=4.2, **changes):
    figures = {"size_ratio": size, "exact_match_drop_points": drop}
    return measured("compression.ptq", figures, **{"bits": 8, "method": "rtn", "seed": 3, **changes})


def static(monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")


def test_every_claim_has_its_row_in_the_ledger_and_its_part_on_the_page_of_rows(monkeypatch):
    static(monkeypatch)
    ledger, evidence = claims.show(rows=SHIPPED)._repr_html_(), claims.evidence(rows=SHIPPED)._repr_html_()
    assert re.findall(r'<th scope="row" class="id">(\w+)</th>', ledger)
    assert sorted(re.findall(r'<th scope="row" class="id">(\w+)</th>', ledger)) == sorted(IDS)
    assert re.findall(r'<section id="rows-(\w+)">', evidence) == IDS
    told = json.loads((DATA / "claims.json").read_text(encoding="utf-8"))["claims"]
    assert [fields["id"] for fields in told] == IDS


def test_every_link_of_the_ledger_leads_to_an_anchor_that_is_there(monkeypatch):
    static(monkeypatch)
    ledger = claims.show(rows=SHIPPED)._repr_html_()
    there = set(re.findall(r'id="([\w-]+)"', claims.evidence(rows=SHIPPED)._repr_html_()))
    rows = re.findall(r'href="book:ledger_rows#([\w-]+)"', ledger)
    assert rows == [rows_anchor(name) for chapter in range(9) for name in own(chapter)]
    assert set(rows) <= there
    linked = re.findall(r'href="book:chapters/([\w-]+)#cell-(\w+)"', ledger)
    assert len(linked) == len(cells())
    for stem in {stem for stem, _ in linked}:
        notebook = chapters.notebook(NOTEBOOKS / f"{stem}.md")
        marked = [claim for cell in notebook.cells for claim in tagged(cell.metadata.get("tags", []))]
        assert sorted(marked) == sorted(claim for place, claim in linked if place == stem)
    assert (ROOT / "book" / "ledger_rows.md").is_file()
    assert "file: ledger_rows" in (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")


def own(chapter):
    return [claim.id for claim in claims.claims() if claim.chapter == chapter]


def test_every_claim_of_a_written_chapter_is_tagged_in_one_cell_of_the_course():
    written = {chapter.number for chapter in chapters.chapters()}
    lacking = {claim.id for claim in claims.claims() if claim.chapter in written} - set(cells())
    assert not lacking, f"no cell carries the tag claim-{min(lacking)}"
    assert set(cells()) <= set(IDS)
    for claim, cell in cells().items():
        if BY_ID[claim].chapter < 8:
            assert cell.number == BY_ID[claim].chapter, claim


def test_a_tagged_cell_is_found_with_its_heading(tmp_path):
    (tmp_path / "04_bits.md").write_text(
        "# Bits\n\n```\n# no heading\n```\n\n## Say *when*\n\n```{code-cell} ipython3\n"
        ":tags: [hide-input, claim-A6, claim-B1]\n\n# a comment\nx = 1\n```\n\n## Later\n\n"
        "```{code-cell} ipython3\n:tags: [claim-A7]\n\ny\n```\n\n```{code-cell} ipython3\nclaim-A8\n```\n"
    )
    found = cells(tmp_path)
    assert {claim: (cell.chapter, cell.heading) for claim, cell in found.items()} == {
        "A6": ("04_bits", "Say when"),
        "B1": ("04_bits", "Say when"),
        "A7": ("04_bits", "Later"),
    }
    assert found["A6"].in_lab == "04_bits.md#Say-when"
    assert found["A6"].in_book == "book:chapters/04_bits#cell-A6"


def test_a_claim_is_tagged_once(tmp_path):
    for name in ("04_bits", "05_zeros"):
        (tmp_path / f"{name}.md").write_text("```{code-cell} ipython3\n:tags: [claim-A6]\n\nx\n```\n")
    with pytest.raises(ValueError, match="A6 is tagged in two cells: 04_bits and 05_zeros"):
        cells(tmp_path)


def test_the_book_gives_a_tagged_cell_the_anchor_that_the_ledger_links_to():
    cell = nodes.container(nb_element="cell_code", cell_metadata={"tags": ["hide-input", "claim-A6"]})
    other = nodes.container(nb_element="cell_code", cell_metadata={})
    document = nodes.section("", cell, nodes.container(), other)
    book_sphinx._mark_cells(None, document)
    assert (cell["ids"], other["ids"]) == ([anchor("A6")], [])


def test_the_book_makes_links_of_addresses_and_drops_those_without_a_page():
    body = '<a href="book:ledger_rows#rows-A6">r</a><a href="book:chapters/09_no#cell-A6">c</a><a href="x">'
    made = book_sphinx._own_links({"pathto": lambda page: f"../{page}.html"}, {"ledger_rows"}, body)
    assert made == '<a href="../ledger_rows.html#rows-A6">r</a><a >c</a><a href="x">'
    here = book_sphinx._own_links(
        {"pathto": lambda page: "#"}, {"chapters/04_x"}, 'href="book:chapters/04_x#cell-A6"'
    )
    assert here == 'href="#cell-A6"'


def test_in_a_notebook_links_lead_to_the_chapters_file_and_rows_to_a_call():
    html = claims.show(4, SHIPPED)._repr_html_()
    assert "book:" not in html
    assert 'href="04_quantization.md#Let-the-others-make-it-good"' in html
    assert "claims.evidence(&quot;A6&quot;)" in html


def test_evidence_names_rows_with_setting_seed_kind_machine_and_what_was_asked():
    shown = claims.evidence("A6", [ptq(), ptq(drop=1.5, seed=4), ptq(bits=4)])
    assert [row.setting["seed"] for row in shown.proofs[0].rows] == [3, 4]
    for text in (shown._repr_html_(), repr(shown), shown._repr_markdown_()):
        for part in (
            "bits 8",
            "method rtn",
            "1.5",
            "4.2",
            "measured",
            "Abacus 3",
            "abc123",
            "2026-11-21 09:14",
        ):
            assert part in text, part
    size, loss = shown.proofs[0].readings
    assert (size.value, size.held, size.take, size.count) == (4.2, True, "median", 2)
    assert (loss.value, loss.held, loss.take, loss.count) == (1.5, True, "max", 2)
    assert (size.asked, size.found) == ("\u2265 3.6 x", "4.2 x (median of 2 rows)")


def test_changing_a_row_changes_verdict_evidence_and_counts():
    def seen(*rows):
        shown = claims.evidence("A6", rows)
        return shown.proofs[0].verdict.verdict, [r.holds[0] for r in shown.proofs[0].readings]

    assert seen(ptq()) == ("confirmed", ["\u2713", "\u2713"])
    assert seen(ptq(drop=2.5)) == ("partly", ["\u2713", "\u2717"])
    assert seen(ptq(drop=2.5, size=3.0)) == ("not reproduced", ["\u2717", "\u2717"])
    assert seen() == ("open", [DASH, DASH])
    assert claims.counts([ptq()])["confirmed"] == 1
    assert claims.counts([ptq(drop=2.5)])["partly"] == 1
    assert sum(claims.counts([]).values()) == len(IDS)


@pytest.mark.parametrize("claim", [name for name in IDS if BY_ID[name].rule.tests])
def test_evidence_shows_the_very_rows_of_the_verdict(claim):
    verdict = judge(claim, BY_ID[claim].rule, SHIPPED)
    proof = claims.evidence(claim, SHIPPED).proofs[0]
    if verdict.verdict != "open":
        assert sorted(row.line() for row in proof.rows) == sorted(row.line() for row in verdict.rows)
        assert all(r.held is not None for r in proof.readings)
        if verdict.verdict == "confirmed":
            keys = list(BY_ID[claim].rule.tests)
            assert all(proof.readings[keys.index(key)].held for key in BY_ID[claim].rule.confirmed)


def test_while_a_verdict_is_open_the_rows_that_are_there_are_shown():
    drop = measured("compression.qat", {"exact_match_drop_points": 0.5}, bits=4)
    proof = claims.evidence("A7", [drop]).proofs[0]
    assert (proof.verdict.verdict, proof.rows) == ("open", (drop,))
    assert [r.held for r in proof.readings] == [None, True, None]


def test_a_claim_without_rows_says_what_it_waits_for_or_what_hardware_it_takes():
    assert "Waits for rows headline.energy" in claims.evidence("A1", [])._repr_html_()
    text = repr(claims.evidence("C4", []))
    assert "accelerator with block-sparse primitives" in text
    entry = claims.as_json(only=["A1"], rows=[])[0]
    assert "Asked: energy per token, 8-bit model over compressed model: \u2265 5 x" in repr(
        claims.show(only=["A1"], rows=[])._repr_markdown_()
    )
    assert (entry["rows"], entry["kinds"]) == (0, [])


def test_a_claim_about_phones_waits_for_a_readers_phone_beside_what_stands_nearest():
    browser = measured("export.browser", {"ratio_vs_fp32": 1.9}, format="int8", what="step")
    entry = claims.as_json(only=["A3"], rows=[browser])[0]
    assert (entry["verdict"], entry["rows"]) == ("open", 0)
    assert "a reader's own phone" in entry["why"]
    assert "1.90 times as fast per token as floats" in entry["why"]
    phone = measured(
        "phone.latency", {"ratio_vs_int8": 1.1, "ratio_vs_fp32": 2.6}, model="qat18", device="Pixel 8"
    )
    entry = claims.as_json(only=["A3"], rows=[browser, phone])[0]
    assert (entry["verdict"], entry["figure"]) == ("partly", 1.1)
    assert "Pixel 8 (Abacus 3)" in repr(claims.evidence("A3", [phone]))


def test_the_nearest_thing_is_shown_with_its_rows_and_asks_nothing():
    row = measured("sparsity.video", {"energy_ratio": 12.5}, "simulated", method="dynamic")
    proof = claims.evidence("C4", [row]).proofs[0]
    assert (proof.rows, proof.readings[0].value, proof.readings[0].held) == ((row,), 12.5, None)
    assert "simulated" in claims.show(only=["C4"], rows=[row])._repr_html_()


def test_what_a_row_says_cannot_become_html():
    bad = ptq(method="<script>x</script>")
    bad = replace(bad, provenance={**MADE, "processor": "<img src=x>", "command": "<b>"})
    html = claims.evidence("A6", [bad])._repr_html_()
    assert not {"<script>", "<img", "<b>"} & set(re.findall(r"<[^ >]*>?", html))


def test_an_unknown_claim_is_refused_by_name():
    with pytest.raises(ValueError, match="claim 'Z1' is unknown; allowed are A1, A2"):
        claims.evidence("Z1")
    with pytest.raises(ValueError, match="claim 'C1' is unknown"):
        claims.show(4, only=["C1"])


def test_some_claims_can_be_shown_in_an_order_of_ones_own():
    shown = claims.show(only=["C1", "A1"], rows=SHIPPED)
    assert [entry["id"] for entry in shown.entries] == ["C1", "A1"]
    assert not shown.folded


def test_the_summary_counts_every_claim_once_and_by_article():
    shown = claims.summary([ptq()])
    assert shown.counts()["confirmed"] == 1
    assert sum(shown.counts().values()) == len(IDS)
    for letter in claims.sources():
        here = [claim for claim in claims.claims() if letter in claim.sources]
        assert sum(shown.counts(letter).values()) == len(here)
    assert shown.counts("E")["confirmed"] == 1  # A6 is of A and E
    assert "1 confirmed" in shown.sentence()
    assert 'role="img"' in shown._repr_html_()
    assert shown.sentence() in shown._repr_html_()
    assert set(claims_summary._FILL) == set(VERDICTS)


# ----- rules that were changed


def rules():
    told = json.loads((DATA / "claims.json").read_text(encoding="utf-8"))["claims"]
    return {fields["id"]: fields["rule"] for fields in told}


def test_no_rule_was_changed_without_a_note():
    assert claims_history.unnoted(claims_history.read(), rules()) == []


def test_a_rule_that_is_changed_in_silence_is_found_and_named():
    mine = copy.deepcopy(rules())
    mine["A1"]["tests"]["energy"]["than"] = 2
    history = claims_history.read()
    assert claims_history.unnoted(history, mine) == ["A1"]
    noted = claims_history.Change(
        "A1", "2026-11-22", "No meter.", rules()["A1"], claims_history.fingerprint(mine["A1"])
    )
    told = replace(history, changed=(*history.changed, noted))
    assert claims_history.unnoted(told, mine) == []
    assert claims_history.unnoted(told, rules()) == ["A1"]
    shown = claims_history.Changes(told, [])
    for text in (repr(shown), shown._repr_html_(), shown._repr_markdown_()):
        assert "No meter." in text
        assert "2026-11-22" in text
        assert "ratio_vs_int8" in text
    assert "no reason given: A1" in repr(claims_history.Changes(history, ["A1"]))


def test_a_claim_that_comes_or_goes_is_found_too():
    history = claims_history.read()
    assert claims_history.unnoted(history, {k: v for k, v in rules().items() if k != "B4"}) == ["B4"]
    assert claims_history.unnoted(history, rules() | {"F1": {}}) == ["F1"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reason": " "}, "reason is empty"),
        ({"claim": "Z9"}, "no such claim"),
        ({"when": "now"}, "fields are"),
    ],
)
def test_a_note_without_a_reason_or_a_claim_is_refused(tmp_path, change, says):
    note = {"claim": "A1", "date": "2026-11-22", "reason": "r", "was": {}, "now": "0"} | change
    path = tmp_path / "first.json"
    path.write_text(json.dumps({"committed": "d", "commit": "c", "rules": {"A1": "0"}, "changed": [note]}))
    with pytest.raises(ValueError, match=says):
        claims_history.read(path)


def test_rules_are_older_than_the_rows_that_they_judge():
    committed = claims_history.read().committed
    for verdict in claims.verdicts(rows=SHIPPED):
        for row in verdict.rows:
            assert row.kind == "cited" or row.provenance["date"] > committed, (verdict.id, row.setting)
    assert "None has been changed since" in repr(claims.history(SHIPPED)) or claims_history.read().changed


# ----- the command


def test_ones_own_rows_take_the_place_of_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    theirs = read("compression.huffman", bits=8, sparsity=0.6)[-1]
    append([replace(theirs, figures={**theirs.figures, "size_ratio": 2.0})])
    verdict = {
        own: claims.as_json(rows=claims_cli.rows(own), only=["A12"])[0]["verdict"] for own in (False, True)
    }
    assert verdict == {False: "confirmed", True: "not reproduced"}
    assert len(claims_cli.rows(True)) == len(claims_cli.rows(False))


def test_the_command_prints_rows_counts_and_brackets_as_they_are(capsys):
    from rich.console import Console

    found = claims_cli.entries(1, own=False)
    found[0]["why"] = "see [bold]this[/bold] [A]"
    Console(width=200).print(claims_cli.table(found))
    assert "[bold]this[/bold] [A]" in capsys.readouterr().out
    assert claims_cli.closing(found) == (
        "1 claim: 1 confirmed. The rows behind a verdict: neurolab claims --rows A14"
    )
    assert "encoding.window_error" in claims_cli.proof("A14", own=False)
