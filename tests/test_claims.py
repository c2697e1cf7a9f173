"""The ledger: every claim is there, verdicts follow from rows alone, and its table reads everywhere."""

import copy
import json

import pytest

from neurolab import articles, claims
from neurolab.claim_rules import VERDICTS, Rule, Test, judge
from neurolab.claims_page import SIGNS, Ledger
from neurolab.measurements import Measurement
from neurolab.paths import DATA

IDS = [
    f"{letter}{i}"
    for letter, most in [("A", 26), ("B", 4), ("C", 17), ("D", 4), ("E", 1)]
    for i in range(1, most + 1)
]
PLACEHOLDER = {"command": "x"}


def measured(name, figures, kind="measured", **setting):
    return Measurement(name, 1, kind, setting, figures, PLACEHOLDER)


def rule_of(name):
    return next(claim for claim in claims.claims() if claim.id == name).rule


def just_right(test: Test) -> float:
    """A figure that passes the test."""
    if test.compare == "between":
        return sum(test.than) / 2
    return float(test.than + {"<": -0.01, ">": 0.01}.get(test.compare, 0))


def just_wrong(test: Test) -> float:
    """A figure that fails it."""
    if test.compare == "between":
        return float(test.than[1] + 1)
    return float(test.than + {"<": 0.01, "<=": 0.01, ">": -0.01, ">=": -0.01, "==": 1}[test.compare])


def setting_for(test: Test) -> dict:
    """A setting that the test's `where` lets through."""
    made = {}
    for key, asked in test.figure.where.items():
        made[key] = asked[1] if isinstance(asked, list) else asked
    return made


def rows_for(rule: Rule, failing=(), kind="measured"):
    """One row a test, each passing or failing on its own."""
    made = []
    for key, test in rule.tests.items():
        figure = just_wrong(test) if key in failing else just_right(test)
        figures = {test.figure.figure: figure}
        if test.figure.over:
            figures[test.figure.over] = 1.0
        made.append(measured(test.figure.row, figures, kind, **setting_for(test)))
    return made


def apart(rule: Rule) -> Rule:
    """The same rule, each test reading only the row made for it."""
    made = copy.deepcopy(rule)
    for key, test in made.tests.items():
        object.__setattr__(test.figure, "where", {**test.figure.where, "test": key})
    return made


def test_every_claim_of_the_articles_stands_in_the_ledger():
    assert sorted(claim.id for claim in claims.claims()) == sorted(IDS)
    assert set(claims.sources()) == set("ABCDE")
    assert len({claim.claim for claim in claims.claims()}) == len(IDS)


def test_chapters_are_those_of_the_plan():
    by_chapter = {claim.id: claim.chapter for claim in claims.claims()}
    assert by_chapter["A14"] == 1
    assert by_chapter["A16"] == 2
    assert by_chapter["C7"] == 6
    assert {claim.id for claim in claims.claims(0)} == {"A26"}
    assert {claim.id for claim in claims.claims(7)} == {"A24"}


def test_without_rows_nothing_is_settled():
    found = {verdict.id: verdict for verdict in claims.verdicts(rows=[])}
    unmeasurable = {name for name, verdict in found.items() if verdict.verdict == "not measurable here"}
    assert unmeasurable == {"A20", "A22", "C4", "C8", "C17"}
    assert {found[name].verdict for name in set(IDS) - unmeasurable} == {"open"}
    assert all(verdict.figure is None and not verdict.rows for verdict in found.values())


RULES = [claim for claim in claims.claims() if claim.rule.tests]


@pytest.mark.parametrize("claim", RULES, ids=[claim.id for claim in RULES])
def test_rows_decide_every_verdict(claim):
    rule, kind = apart(claim.rule), claim.rule.evidence[0]
    assert judge(claim.id, rule, rows_for(rule, kind=kind)).verdict == "confirmed"
    failed = judge(claim.id, rule, rows_for(rule, failing=rule.tests, kind=kind))
    assert failed.verdict == "not reproduced"
    assert failed.rows
    for tests, condition in rule.partly:
        found = judge(claim.id, rule, rows_for(rule, failing=set(rule.tests) - set(tests), kind=kind))
        assert found.verdict == "partly"
        assert found.why.startswith(condition)
    some = rows_for(rule, kind=kind)[1:]
    assert judge(claim.id, rule, some).verdict == "open"


@pytest.mark.parametrize("claim", RULES, ids=[claim.id for claim in RULES])
def test_a_model_of_energy_alone_never_confirms(claim):
    rule = apart(claim.rule)
    found = judge(claim.id, rule, rows_for(rule, kind="simulated"))
    assert found.verdict in ("partly", "open")
    if "simulated" in rule.evidence:
        assert found.verdict == "partly"
        assert "not by a measurement" in found.why
        mixed = rows_for(rule)[:-1] + rows_for(rule, kind="simulated")[-1:]
        assert judge(claim.id, rule, mixed).verdict == "partly"


@pytest.mark.parametrize("claim", RULES, ids=[claim.id for claim in RULES])
def test_somebody_elses_figures_settle_nothing_unless_the_rule_says_so(claim):
    rule = apart(claim.rule)
    found = judge(claim.id, rule, rows_for(rule, kind="cited")).verdict
    assert found == ("confirmed" if "cited" in rule.evidence else "open")


def window_error(**changes):
    figures = {
        "rate_error_ratio_4x": 2.0,
        "rate_spikes_per_value_T16": 7.5,
        "latency_spikes_per_value": 1.0,
        "latency_error_T16": 0.02,
        "rate_error_T16": 0.1,
        "latency_error_jitter1_T16": 0.07,
        "rate_error_jitter1_T16": 0.1,
    }
    return [measured("encoding.window_error", {**figures, **changes}, data="digits")]


def test_changing_a_row_changes_the_verdict():
    def verdict(**changes):
        return judge("A14", rule_of("A14"), window_error(**changes)).verdict

    assert verdict() == "confirmed"
    assert verdict(latency_error_T16=0.2, latency_error_jitter1_T16=0.7) == "partly"
    assert verdict(rate_error_jitter1_T16=0.3) == "partly"
    assert verdict(rate_error_ratio_4x=4.0, rate_error_jitter1_T16=0.3) == "not reproduced"


def test_truncated_backpropagation_is_judged_over_the_claimed_windows_only():
    rows = [
        measured("lif.tbptt", {"memory_ratio": m, "accuracy_drop_points": 1.0}, T=200, window=w, seed=s)
        for w, m in [(20, 0.15), (50, 0.3), (100, 0.55)]
        for s in (0, 1)
    ]
    beside = [
        measured("lif.tbptt", {"memory_ratio": 1.0, "accuracy_drop_points": 0.0}, T=200, window=200, seed=0),
        measured("lif.tbptt", {"memory_ratio": 0.9, "accuracy_drop_points": 30.0}, T=64, window=20, seed=0),
    ]
    found = judge("A16", rule_of("A16"), rows + beside)
    assert (found.verdict, found.figure) == ("confirmed", 0.55)
    assert len(found.rows) == len(rows)
    assert judge("A16", rule_of("A16"), beside).verdict == "open"


def test_the_nearest_measurable_thing_is_named_and_never_confirms():
    rows = [measured("headline.energy", {"ratio_vs_fp32": 7.0}, "simulated")]
    found = judge("A20", rule_of("A20"), rows)
    assert (found.verdict, found.figure) == ("not measurable here", 7.0)
    assert "neuromorphic" in found.why


def test_the_contradiction_is_arithmetic_on_the_articles_figures():
    assert articles.implied_parameters(1.2e9, 8) == 1.2e9
    assert articles.implied_bits(240e6, 1.2e9) == pytest.approx(1.6)
    with pytest.raises(ValueError, match="bits 0"):
        articles.implied_parameters(1.0, 0)
    with pytest.raises(ValueError, match="parameters 0"):
        articles.implied_bits(1.0, 0)
    found = judge("A26", rule_of("A26"), articles.rows())
    assert (found.verdict, found.figure) == ("confirmed", 1.6)
    assert judge("A26", rule_of("A26"), []).verdict == "open"


def test_the_shipped_contradiction_row_is_what_the_code_computes():
    from neurolab.measurements import read

    assert [row.figures for row in read("articles.figures")] == [row.figures for row in articles.rows()]


def test_articles_prints_and_refuses_other_arguments(capsys):
    articles.main([])
    assert json.loads(capsys.readouterr().out)["kind"] == "cited"
    with pytest.raises(SystemExit, match="only --ship"):
        articles.main(["--push"])


GOOD = {
    "id": "A1",
    "chapter": 1,
    "claim": "x",
    "sources": ["A"],
    "rule": {
        "tests": {"t": {"row": "a.b", "figure": "f", "is": ">=", "than": 1, "about": "f"}},
        "confirmed": ["t"],
        "shows": "t",
    },
}


def ledger(tmp_path, *entries):
    path = tmp_path / "claims.json"
    path.write_text(json.dumps({"sources": {"A": "title"}, "claims": entries}))
    return path


def changed(path, value):
    made = copy.deepcopy(GOOD)
    at = made
    for step in path[:-1]:
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


def test_a_sound_ledger_loads(tmp_path):
    assert claims.load(ledger(tmp_path, GOOD))[1][0].id == "A1"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["chapter"], 9, "chapters are"),
        (["sources"], ["Z"], "sources are"),
        (["sources"], [], "sources are"),
        (["verdict"], "confirmed", "fields are"),
        (["claim"], None, "fields are"),
        (["rule", "confirmed"], [], "the rule names"),
        (["rule", "confirmed"], ["u"], "the rule names"),
        (["rule", "shows"], "u", "the rule names"),
        (["rule", "evidence"], ["hearsay"], "evidence is"),
        (["rule", "typed"], 1, "is not understood"),
        (["rule", "tests", "t", "is"], "about", "'is' must be one of"),
        (["rule", "tests", "t", "than"], "1", "'is' must be one of"),
        (["rule", "tests", "t", "take"], "mode", "take is"),
        (["rule", "tests", "t", "colour"], "red", "colour"),
        (["rule", "tests", "t", "row"], None, "row"),
    ],
)
def test_a_bad_ledger_is_refused_by_name(tmp_path, path, value, says):
    with pytest.raises(ValueError, match=f"claim A1.*{says}"):
        claims.load(ledger(tmp_path, changed(path, value)))


def test_a_claim_stands_once(tmp_path):
    with pytest.raises(ValueError, match="A1 stands twice"):
        claims.load(ledger(tmp_path, GOOD, GOOD))


def test_a_chapter_that_is_none_is_refused():
    with pytest.raises(ValueError, match="chapter is 12"):
        claims.claims(12)


def test_the_file_holds_no_verdict():
    text = (DATA / "claims.json").read_text(encoding="utf-8")
    assert '"verdict"' not in text
    assert "not reproduced" not in text


def test_json_is_what_the_command_prints():
    found = claims.as_json(rows=[])
    told = {"id", "chapter", "claim", "sources", "asks", "verdict", "figure", "unit", "why"}
    assert set(found[0]) == told | {"rows", "kinds", "cell"}
    assert json.loads(json.dumps(found)) == found
    assert all(entry["verdict"] in VERDICTS for entry in found)


def test_verdicts_are_told_by_word_and_sign_not_by_colour():
    html = claims.show(1, window_error())._repr_html_()
    assert "\u2713</span> confirmed" in html
    assert set(SIGNS) == set(VERDICTS)
    assert len(set(SIGNS.values())) == len(VERDICTS)


def test_the_table_is_accessible_and_escaped():
    entry = {**claims.as_json(1, [])[0], "claim": "<b>5x</b> | 3", "why": "<i>"}
    shown = Ledger([entry], claims.sources())
    assert "<b>" not in shown._repr_html_()
    assert "<i>" not in shown._repr_html_()
    assert 'scope="col"' in shown._repr_html_()
    assert 'scope="row"' in shown._repr_html_()
    assert "5x</b> \\| 3" in shown._repr_markdown_()
    assert "A14" in repr(shown)


def test_the_whole_ledger_is_folded_by_chapter():
    html = claims.show()._repr_html_()
    assert html.count("<details>") == len({claim.chapter for claim in claims.claims()})
    assert "Chapter 6, Dynamic sparsity" in html
