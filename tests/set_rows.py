"""Tiny test sets, made for the tests: a few rows with the fields that each set has on the hub."""

from typing import Any

from neurolab.set_cards import Card

READ = [
    ("Who won?", "The Denver Broncos won the game.", ["Denver Broncos", "The Denver Broncos"], [4, 0]),
    ("When was it?", "It was played on 7 February.", ["7 February"], [17]),
    ("Where?", "In Santa Clara, California.", ["Santa Clara"], [3]),
]
READ_TH = [
    ("เมืองหลวงของไทยคืออะไร", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", ["กรุงเทพมหานคร"], [0]),
    ("ใครเขียน", "หนังสือเล่มนี้เขียนโดยสุนทรภู่", ["สุนทรภู่"], [22]),
    ("ใช้เงินอะไร", "ประเทศไทยใช้เงินบาท", ["บาท", "เงินบาท"], [16, 12]),
]
WORDS = ("a good film", "a bad film", "no film at all", "ดีมาก", "one more")


def rows(card: Card) -> list[dict[str, Any]]:
    """A few rows of the set, every label among them."""
    if card.task == "answers":
        return [_question(card, i, *row) for i, row in enumerate(READ_TH if card.language == "th" else READ)]
    if card.task == "score":
        truths: list[Any] = [0.0, 1.5, 3.25, 5.0]
    else:
        truths = [*range(len(card.labels)), 0]
    found = []
    for i, truth in enumerate(truths):
        texts = {field: f"{WORDS[i % len(WORDS)]} {field}" for field in card.texts}
        found.append({**texts, card.truth: truth} | ({} if card.truth == "category" else {"idx": i}))
    return found


def _question(
    card: Card, i: int, question: str, context: str, answers: list[str], starts: list[int]
) -> dict[str, Any]:
    held: dict[str, Any] = {"text": answers, "answer_start": starts}
    row = {card.identity: f"q{i}", "title": "made", "context": context, "question": question}
    if card.name == "iapp_th":
        held["answer_end"] = [s + len(a) for s, a in zip(starts, answers, strict=True)]
        row["article_id"] = "a1"
    if card.name == "xquad_th":
        del row["title"]
    return {**row, "answers": held}


def features(card: Card) -> Any:
    """The set's fields as the hub declares them (needs the package datasets)."""
    from datasets import ClassLabel, Features, List, Value

    if card.task == "answers":
        first = rows(card)[0]
        held = {key: List(Value("string" if key == "text" else "int32")) for key in first["answers"]}
        return Features({**{key: Value("string") for key in first if key != "answers"}, "answers": held})
    texts = {field: Value("string") for field in card.texts}
    truth = Value("float32") if card.task == "score" else ClassLabel(names=list(card.labels))
    index = {} if card.truth == "category" else {"idx": Value("int32")}
    return Features({**texts, card.truth: truth, **index})
