"""What is known of the articles' test sets before they are read: where they lie, their fields, their scores.

GLUE's tasks (Wang et al., 2019), SQuAD v1.1 (Rajpurkar et al., 2016), its Thai translation in XQuAD (Artetxe
et al., 2020), iApp's questions on Thai Wikipedia (Viriyayudhakorn and Polpanumas, 2021), Wisesight's Thai
messages with their moods (Suriyawongkul et al., 2019).

Left out for their licences, which forbid commercial use: thaiqa_squad (CC BY-NC-SA 3.0), XNLI (CC BY-NC 4.0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

TASKS = ("labels", "score", "answers")
"""What a set asks for: one of a few labels, a number, or a piece of the text."""


@dataclass(frozen=True)
class Card:
    """One set.

    hub, config, split: where it lies on the Hugging Face hub, and the part that has right answers. task: one
    of TASKS.  texts: the fields that are read, in order.  truth, identity: those of what is right and of the
    row's name.  metrics: the figures, the main one first.  prompt: how a decoder is asked; {0} and {1} stand
    for the texts.  labels: their names, in the order of their numbers.  words: what a decoder would write for
    each label (for a score: for 0, 1, ...).  converted: take the hub's own Parquet conversion, for a set that
    lies there as a program (`datasets` 4 and later run none).
    """

    name: str
    hub: str
    config: str
    split: str
    task: str
    texts: tuple[str, ...]
    metrics: tuple[str, ...]
    licence: str
    cite: str
    prompt: str
    labels: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    language: str = "en"
    truth: str = "label"
    identity: str = "idx"
    converted: bool = False


def _glue(
    config: str,
    texts: str,
    labels: str,
    words: str,
    prompt: str,
    metrics: tuple[str, ...] = ("accuracy",),
    task: str = "labels",
) -> Card:
    return Card(
        name=f"glue_{config}",
        hub="nyu-mll/glue",
        config=config,
        split="validation",
        task=task,
        texts=tuple(texts.split()),
        metrics=metrics,
        licence="its source's own",
        cite="wang2019glue",
        prompt=prompt,
        labels=tuple(labels.split()),
        words=tuple(words.split()),
    )


def _questions(name: str, hub: str, config: str, licence: str, cite: str, language: str) -> Card:
    asked = {"en": "{1}\nQuestion: {0}\nAnswer:", "th": "{1}\nคำถาม: {0}\nคำตอบ:"}
    return Card(
        name=name,
        hub=hub,
        config=config,
        split="validation",
        task="answers",
        texts=("question", "context"),
        metrics=("f1", "exact_match"),
        licence=licence,
        cite=cite,
        prompt=asked[language],
        language=language,
        truth="answers",
        identity="id",
    )


_GRAMMAR = "{0}\nQuestion: Is this sentence grammatical?\nAnswer (yes or no):"
_REVIEW = "{0}\nQuestion: Is this review good or bad?\nAnswer:"
_SAME = "{0}\n{1}\nQuestion: Do both mean the same?\nAnswer (yes or no):"
_ALIKE = "{0}\n{1}\nQuestion: How alike are both, from 0 to 5?\nAnswer:"
_MAYBE = "{0}\nQuestion: Does it follow that: {1}\nAnswer (yes, maybe or no):"
_FOLLOWS = "{0}\nQuestion: Does it follow that: {1}\nAnswer (yes or no):"
_ANSWERED = "{1}\nQuestion: Does this answer the question: {0}\nAnswer (yes or no):"
_PAIR = "sentence1 sentence2"
_MNLI = _glue("mnli", "premise hypothesis", "entailment neutral contradiction", "yes maybe no", _MAYBE)

CARDS = {
    card.name: card
    for card in (
        _glue("cola", "sentence", "unacceptable acceptable", "no yes", _GRAMMAR, ("matthews",)),
        _glue("sst2", "sentence", "negative positive", "bad good", _REVIEW),
        _glue("mrpc", _PAIR, "not_equivalent equivalent", "no yes", _SAME, ("f1", "accuracy")),
        _glue("qqp", "question1 question2", "not_duplicate duplicate", "no yes", _SAME, ("f1", "accuracy")),
        _glue("stsb", _PAIR, "", "0 1 2 3 4 5", _ALIKE, ("pearson", "spearman"), "score"),
        replace(_MNLI, split="validation_matched"),
        replace(_MNLI, name="glue_mnli_mismatched", split="validation_mismatched"),
        _glue("qnli", "question sentence", "entailment not_entailment", "yes no", _ANSWERED),
        _glue("rte", _PAIR, "entailment not_entailment", "yes no", _FOLLOWS),
        _glue("wnli", _PAIR, "not_entailment entailment", "no yes", _FOLLOWS),
        _questions("squad", "rajpurkar/squad", "plain_text", "CC BY-SA 4.0", "rajpurkar2016squad", "en"),
        _questions("xquad_th", "google/xquad", "xquad.th", "CC BY-SA 4.0", "artetxe2020xquad", "th"),
        replace(
            _questions(
                "iapp_th",
                "iapp/iapp_wiki_qa_squad",
                "iapp_wiki_qa_squad",
                "MIT",
                "viriyayudhakorn2021iapp",
                "th",
            ),
            split="test",
            identity="question_id",
            converted=True,
        ),
        Card(
            name="wisesight_th",
            hub="pythainlp/wisesight_sentiment",
            config="wisesight_sentiment",
            split="test",
            task="labels",
            texts=("texts",),
            metrics=("accuracy", "f1_macro"),
            licence="CC0 1.0",
            cite="suriyawongkul2019wisesight",
            prompt="{0}\nข้อความนี้เป็นบวก กลาง ลบ หรือคำถาม\nคำตอบ:",
            labels=("pos", "neu", "neg", "q"),
            words=("บวก", "กลาง", "ลบ", "คำถาม"),
            language="th",
            truth="category",
        ),
    )
}
"""The sets by name. GLUE's own test parts have no public answers, so its validation parts are taken."""


def card(name: str) -> Card:
    """The card of a set. ValueError names those that there are."""
    if name not in CARDS:
        raise ValueError(f"set is {name!r}; there are {', '.join(CARDS)}")
    return CARDS[name]
