"""Questions and answers in Thai and English, made from the Unicode CLDR data that Babel carries.

A *fact* is one thing to know: that the territory TH uses the Thai Baht, or that the script Thai is
called อักษรไทย. A *question* asks for a fact in one language, in one of six phrasings:

- phrasings 0 to 4 are trained, but for one that rotates with the fact and language: `held_out`;
- phrasing 5 is never trained: `new_template`;
- some facts are trained in one language only and asked in the other: `one_language`;
- names that are invented or left out of the data are to be answered "I don't know": `unknown`.

Everything is a function of Babel's CLDR data and of the seed below: no random state is involved.

Source: Unicode Common Locale Data Repository (CLDR), through Babel, https://babel.pocoo.org.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cache

import babel
from babel import Locale
from babel.core import get_global
from babel.languages import get_official_languages
from babel.numbers import get_territory_currencies

from neurolab.relations import KINDS, LANGUAGES, PHRASINGS, RELATIONS, TARGET, Language

SPLITS = ("train", "dev", "held_out", "new_template", "one_language", "unknown")
UNKNOWN: dict[Language, str] = {"th": "ไม่ทราบ", "en": "I don't know"}
SEED = 20

LEFT_OUT = 0.04  # share of names that appear in no fact
ONE_LANGUAGE = 0.06  # share of one-way facts trained in one language only
DEV = 0.05  # share of held-out questions that training may look at to know when to stop
INVENTED = 1400  # invented names


@dataclass(frozen=True)
class Fact:
    """One thing to know. `subject` and `object` hold the names in each language; `key` is the CLDR code."""

    relation: str
    key: str
    subject: dict[Language, str]
    object: dict[Language, str]
    trained_in: tuple[Language, ...] = LANGUAGES

    @property
    def is_name(self) -> bool:
        """Whether the fact is a translation, asked in both directions."""
        return self.relation.startswith("name of ")


@dataclass(frozen=True)
class Question:
    """One question with its answer, the language it is asked in, and the split it belongs to."""

    text: str
    answer: str
    language: Language
    relation: str
    key: str
    phrasing: int
    split: str


def draw(*key: object) -> float:
    """A number in [0, 1) that depends on `key` and the seed alone (SHA-256), not on any order."""
    digest = hashlib.sha256(repr((SEED, *key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@cache
def names() -> dict[str, dict[str, dict[Language, str]]]:
    """Kind -> CLDR code -> the name in each language; names that two codes share are dropped."""
    en, th = Locale("en"), Locale("th")
    zone_territory = get_global("zone_territories")
    cities = {
        zone: (en.time_zones.get(zone, {}).get("city") or zone.split("/")[-1].replace("_", " "), data["city"])
        for zone, data in th.time_zones.items()
        if "city" in data and zone in zone_territory and "/" in zone
    }
    units_en, units_th = en._data["unit_display_names"], th._data["unit_display_names"]
    raw: dict[str, dict[str, tuple[str | None, str | None]]] = {
        "territory": {c: (n, th.territories.get(c)) for c, n in en.territories.items() if len(c) == 2},
        "region": {c: (n, th.territories.get(c)) for c, n in en.territories.items() if len(c) == 3},
        "language": {c: (n, th.languages.get(c)) for c, n in en.languages.items()},
        "script": {c: (n, th.scripts.get(c)) for c, n in en.scripts.items()},
        "currency": {c: (n, th.currencies.get(c)) for c, n in en.currencies.items()},
        "city": dict(cities),
        "unit": {c: (d.get("long"), units_th.get(c, {}).get("long")) for c, d in units_en.items()},
    }
    pseudo = {
        "XA",
        "XB",
        "ZZ",
        "EZ",
        "UN",
        "QO",
        "mul",
        "und",
        "zxx",
        "Zxxx",
        "Zyyy",
        "Zzzz",
        "Zinh",
        "XXX",
        "XTS",
    }
    clean: dict[str, dict[str, dict[Language, str]]] = {}
    for kind, entries in raw.items():
        good = {
            code: (a, b)
            for code, (a, b) in sorted(entries.items())
            if a and b and a != b and "(" not in a + b and code not in pseudo
        }
        count_en, count_th = Counter(a for a, _ in good.values()), Counter(b for _, b in good.values())
        clean[kind] = {
            code: {"en": a, "th": b} for code, (a, b) in good.items() if count_en[a] == 1 and count_th[b] == 1
        }
    return clean


def left_out(kind: str, key: str) -> bool:
    """Whether a name appears in no fact, so that the assistant should say that it does not know it."""
    return draw("left out", kind, key) < LEFT_OUT


@cache
def facts() -> tuple[Fact, ...]:
    """All facts, sorted; a translation counts once, though it is asked in both directions."""
    known = {k: {c: n for c, n in v.items() if not left_out(k, c)} for k, v in names().items()}
    found = [
        Fact(f"name of {kind}", code, n, n) for kind, entries in known.items() for code, n in entries.items()
    ]

    def one_way(relation: str, key: str, target: dict[Language, str] | None) -> None:
        subject = known[RELATIONS[relation].subject].get(key)
        if subject is None or target is None:
            return
        chance = draw("one language", relation, key)
        trained: tuple[Language, ...] = LANGUAGES
        if chance < ONE_LANGUAGE:
            trained = ("th",) if chance < ONE_LANGUAGE / 2 else ("en",)
        found.append(Fact(relation, key, subject, target, trained))

    likely, zone_territory = get_global("likely_subtags"), get_global("zone_territories")
    for code in known["territory"]:
        currencies = get_territory_currencies(code)
        if len(currencies) == 1:  # one legal tender, so one right answer
            one_way("currency used", code, known["currency"].get(currencies[0]))
        official = get_official_languages(code)
        if official:
            one_way("official language", code, known["language"].get(official[0]))
    for zone in known["city"]:
        one_way("territory of city", zone, known["territory"].get(zone_territory[zone]))
    for code in known["currency"]:
        one_way("code of currency", code, {"th": code, "en": code})
    for code in known["language"]:
        parts = likely.get(code, "").split("_")
        one_way("script of language", code, known["script"].get(parts[1]) if len(parts) > 1 else None)
    return tuple(found)


def ask(relation: str, language: Language, phrasing: int, name: str, into: Language | None = None) -> str:
    """The text of a question.

    `relation` is a key of RELATIONS, `phrasing` 0 to 5, `name` the subject as the reader would write it,
    `into` the language to translate to (name relations only). Raises ValueError on anything else.
    """
    if relation not in RELATIONS:
        raise ValueError(f"relation {relation!r}: must be one of {sorted(RELATIONS)}")
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r}: must be 'th' or 'en'")
    if not 0 <= phrasing < PHRASINGS:
        raise ValueError(f"phrasing {phrasing}: must be 0 to {PHRASINGS - 1}")
    if not name.strip():
        raise ValueError("name '': must not be empty")
    kind = KINDS[RELATIONS[relation].subject][language]
    if language == "en":
        with_kind = f"the {kind} {name}"
    elif "\u0e00" <= name[0] <= "\u0e7f":
        with_kind = kind + name
    else:
        with_kind = f"{kind} {name}"
    target = TARGET[language][into] if into else ""
    return RELATIONS[relation].phrasings[language][phrasing].format(n=with_kind, T=target)


def _ways(fact: Fact) -> list[tuple[Language, str, str, Language | None]]:
    """(language of the question, name asked about, answer, language to translate into) of each way to ask."""
    if not fact.is_name:
        return [(lang, fact.subject[lang], fact.object[lang], None) for lang in LANGUAGES]
    pairs: list[tuple[Language, Language]] = [("th", "en"), ("en", "th")]
    return [(lang, fact.subject[a], fact.object[b], b) for lang in LANGUAGES for a, b in pairs]


def _questions_of(fact: Fact) -> list[Question]:
    made = []
    for lang, name, answer, into in _ways(fact):
        rotating = int(draw("held out", fact.relation, fact.key, lang, into) * (PHRASINGS - 1))
        for phrasing in range(PHRASINGS):
            if lang not in fact.trained_in:
                split = "one_language"
            elif phrasing == PHRASINGS - 1:
                split = "new_template"
            elif phrasing == rotating:
                dev = draw("dev", fact.relation, fact.key, lang, into) < DEV
                split = "dev" if dev else "held_out"
            else:
                split = "train"
            text = ask(fact.relation, lang, phrasing, name, into)
            made.append(Question(text, answer, lang, fact.relation, fact.key, phrasing, split))
    return made


def invented_names(kind: str, language: Language, count: int) -> list[str]:
    """Names that sound right and mean nothing: the front of one real name on the back of another."""
    real = sorted(entry[language] for entry in names()[kind].values())
    taken = set(real)
    made: list[str] = []
    for i in range(50 * count):
        if len(made) == count:
            break
        a, b = (real[int(draw("invent", kind, language, i, part) * len(real))] for part in ("a", "b"))
        cut_a, cut_b = (max(2, round(len(a) * 0.5)), round(len(b) * 0.5))
        while cut_b < len(b) - 1 and not b[cut_b].isalpha():  # never begin with a mark that has no base
            cut_b += 1
        name = a[:cut_a] + b[cut_b:]
        if name not in taken:
            taken.add(name)
            made.append(name)
    return made


def _unknown_questions() -> list[Question]:
    """Questions without an answer: half of the names are trained on,
    the other half only asked in the test.
    """
    total = sum(len(entries) for entries in names().values())
    subjects: list[tuple[str, str, dict[Language, str]]] = []
    for kind, entries in names().items():
        subjects += [(kind, f"left out {code}", n) for code, n in entries.items() if left_out(kind, code)]
        count = max(4, round(INVENTED * len(entries) / total))
        made = [invented_names(kind, lang, count) for lang in LANGUAGES]
        subjects += [
            (kind, f"invented {i}", {"th": a, "en": b}) for i, (a, b) in enumerate(zip(*made, strict=True))
        ]
    found = []
    for kind, key, name in subjects:
        for_test = draw("unknown test", kind, key) < 0.5
        for relation, spec in RELATIONS.items():
            if spec.subject != kind:
                continue
            for lang, subject, _, into in _ways(Fact(relation, key, name, name)):
                phrasing = int(draw("unknown phrasing", relation, key, lang, into) * (PHRASINGS - 1))
                text = ask(relation, lang, phrasing, subject, into)
                split = "unknown" if for_test else "train"
                found.append(Question(text, UNKNOWN[lang], lang, relation, key, phrasing, split))
    return found


@cache
def questions() -> tuple[Question, ...]:
    """Every question of every split. A text with two right answers is in none of them."""
    every = [q for fact in facts() for q in _questions_of(fact)] + _unknown_questions()
    answers: dict[str, set[str]] = {}
    for q in every:
        answers.setdefault(q.text, set()).add(q.answer)
    once: dict[str, Question] = {}
    for q in every:
        if len(answers[q.text]) == 1:
            once.setdefault(q.text, q)
    return tuple(once.values())


def split(name: str, language: Language | None = None) -> list[Question]:
    """The questions of one split, of one language if given. Raises ValueError on an unknown split."""
    if name not in SPLITS:
        raise ValueError(f"split {name!r}: must be one of {SPLITS}")
    return [q for q in questions() if q.split == name and language in (None, q.language)]


def card() -> dict[str, object]:
    """What the data is, for the model's card: version, counts, and a hash of every question."""
    digest = hashlib.sha256("\n".join(f"{q.split}\t{q.text}\t{q.answer}" for q in questions()).encode())
    return {
        "source": "Unicode CLDR through Babel",
        "babel": babel.__version__,
        "seed": SEED,
        "relations": len(RELATIONS),
        "facts": len(facts()),
        "facts_by_relation": dict(Counter(f.relation for f in facts())),
        "questions": dict(Counter(q.split for q in questions())),
        "sha256": digest.hexdigest(),
    }
