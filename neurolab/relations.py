"""What can be asked: the kinds of names, the relations between them, and the phrasings of each question.

Of the six phrasings of a relation in each language, the last is never trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["th", "en"]
LANGUAGES: tuple[Language, Language] = ("th", "en")
PHRASINGS = 6

KINDS: dict[str, dict[Language, str]] = {
    "territory": {"en": "territory", "th": "ดินแดน"},
    "region": {"en": "region", "th": "ภูมิภาค"},
    "language": {"en": "language", "th": "ภาษา"},
    "script": {"en": "script", "th": "อักษร"},
    "currency": {"en": "currency", "th": "สกุลเงิน"},
    "city": {"en": "city", "th": "เมือง"},
    "unit": {"en": "unit", "th": "หน่วย"},
}

# {x} is the name asked about, {n} the name with its kind before it, {T} the language to translate into.
NAME: dict[Language, tuple[str, ...]] = {
    "en": (
        "What is {n} called in {T}?",
        "How do you say {n} in {T}?",
        "Give the {T} name of {n}.",
        "Translate the name of {n} into {T}.",
        "Which {T} name does {n} have?",
        "What is the {T} name of {n}?",
    ),
    "th": (
        "{n} {T}เรียกว่าอะไร",
        "{n} พูดเป็น{T}ว่าอย่างไร",
        "ขอชื่อ{T}ของ{n}",
        "แปลชื่อ{n} เป็น{T}",
        "ชื่อ{T}ของ{n} คืออะไร",
        "{n} มีชื่อ{T}ว่าอะไร",
    ),
}
TARGET: dict[Language, dict[Language, str]] = {
    "en": {"th": "Thai", "en": "English"},
    "th": {"th": "ภาษาไทย", "en": "ภาษาอังกฤษ"},
}


@dataclass(frozen=True)
class Relation:
    """What a fact says: `subject` and `object` are kinds of names; six phrasings a language."""

    subject: str
    object: str
    about: str
    phrasings: dict[Language, tuple[str, ...]]


RELATIONS: dict[str, Relation] = {
    f"name of {kind}": Relation(kind, kind, f"the name of a {kind} in the other language", NAME)
    for kind in KINDS
} | {
    "currency used": Relation(
        "territory",
        "currency",
        "the currency of a territory",
        {
            "en": (
                "What is the currency of {n}?",
                "Which currency is used in {n}?",
                "Name the currency of {n}.",
                "In {n}, which money do people use?",
                "With which currency do people pay in {n}?",
                "Which currency do people use in {n}?",
            ),
            "th": (
                "{n} ใช้สกุลเงินอะไร",
                "สกุลเงินของ{n} คืออะไร",
                "ขอชื่อสกุลเงินของ{n}",
                "คนใน{n} ใช้เงินสกุลใด",
                "ใน{n} ใช้สกุลเงินใด",
                "สกุลเงินที่ใช้ใน{n} คืออะไร",
            ),
        },
    ),
    "official language": Relation(
        "territory",
        "language",
        "the official language of a territory that most people there speak",
        {
            "en": (
                "What is the main official language of {n}?",
                "Name the main official language of {n}.",
                "In {n}, what is the main official language?",
                "Which official language do most people in {n} speak?",
                "Which language is official in {n}?",
                "Which language is the main official language of {n}?",
            ),
            "th": (
                "ภาษาราชการหลักของ{n} คือภาษาอะไร",
                "ขอชื่อภาษาราชการหลักของ{n}",
                "ใน{n} ภาษาราชการหลักคือภาษาอะไร",
                "{n} ใช้ภาษาใดเป็นภาษาราชการหลัก",
                "ใน{n} ใช้ภาษาราชการใด",
                "ภาษาใดเป็นภาษาราชการหลักของ{n}",
            ),
        },
    ),
    "territory of city": Relation(
        "city",
        "territory",
        "the territory that a city lies in",
        {
            "en": (
                "Which territory is {n} in?",
                "Where is {n}?",
                "Name the territory of {n}.",
                "To which territory does {n} belong?",
                "Which territory does {n} lie in?",
                "In which territory is {n}?",
            ),
            "th": (
                "{n} อยู่ในดินแดนใด",
                "{n} อยู่ที่ไหน",
                "ขอชื่อดินแดนของ{n}",
                "{n} เป็นของดินแดนใด",
                "ดินแดนที่มี{n} คือดินแดนใด",
                "{n} ตั้งอยู่ในดินแดนใด",
            ),
        },
    ),
    "code of currency": Relation(
        "currency",
        "code",
        "the three-letter ISO 4217 code of a currency",
        {
            "en": (
                "What is the code of {n}?",
                "Give the ISO code of {n}.",
                "How is {n} abbreviated?",
                "Which three letters stand for {n}?",
                "Which ISO code does {n} have?",
                "What is the ISO code of {n}?",
            ),
            "th": (
                "รหัสของ{n} คืออะไร",
                "ขอรหัส ISO ของ{n}",
                "{n} ย่อว่าอย่างไร",
                "{n} ใช้อักษรย่อสามตัวใด",
                "{n} มีรหัส ISO ว่าอะไร",
                "รหัส ISO ของ{n} คืออะไร",
            ),
        },
    ),
    "script of language": Relation(
        "language",
        "script",
        "the script that a language is most often written in",
        {
            "en": (
                "Which script is {n} written in?",
                "What script does {n} use?",
                "Name the script of {n}.",
                "With which script do people write {n}?",
                "Which script belongs to {n}?",
                "In which script is {n} written?",
            ),
            "th": (
                "{n} เขียนด้วยอักษรอะไร",
                "{n} ใช้อักษรใด",
                "ขอชื่ออักษรของ{n}",
                "คนเขียน{n} ด้วยอักษรใด",
                "อักษรของ{n} คืออะไร",
                "{n} เขียนด้วยอักษรใด",
            ),
        },
    ),
}
