"""What the phone page offers: the models, by name, and the questions on its buttons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """A model as the page offers it.

    kind: "onnx", a graph with its weights; or "nlab", a file of chapter 5 (`source`, in data/compressed) that
    the page decodes and puts into the graph.  network: what an "onnx" graph is made of, a name of
    `neurolab.export.source`.  label, about: what the reader sees, by language, "en" and "th".
    """

    name: str
    precision: str
    kind: str
    label: dict[str, str]
    about: dict[str, str]
    source: str = ""
    network: str = "assistant"


OFFERS = (
    Offer(
        "int8",
        "int8",
        "onnx",
        {"en": "8 bits", "th": "8 บิต"},
        {
            "en": "Each weight rounded to one of 255 values",
            "th": "น้ำหนักแต่ละตัวถูกปัดให้เหลือ 255 ค่า",
        },
    ),
    Offer(
        "fp32",
        "fp32",
        "onnx",
        {"en": "32 bits", "th": "32 บิต"},
        {"en": "As it was trained, nothing rounded", "th": "ตามที่ฝึกมา ไม่มีการปัดค่า"},
    ),
    Offer(
        "ptq12",
        "fp32",
        "nlab",
        {"en": "Compressed 12 times", "th": "บีบอัด 12 เท่า"},
        {
            "en": "Chapter 5's file, decoded here: rounded without training",
            "th": "ไฟล์จากบทที่ 5 ถอดรหัสในเครื่องนี้ ปัดค่าโดยไม่ฝึกเพิ่ม",
        },
        source="ptq12.nlab",
    ),
    Offer(
        "qat18",
        "fp32",
        "nlab",
        {"en": "Compressed 18 times", "th": "บีบอัด 18 เท่า"},
        {
            "en": "Chapter 5's file, decoded here: trained to bear it",
            "th": "ไฟล์จากบทที่ 5 ถอดรหัสในเครื่องนี้ ฝึกให้ทนการปัดค่า",
        },
        source="qat18.nlab",
    ),
    Offer(
        "spiking",
        "fp32",
        "onnx",
        {"en": "Spikes", "th": "สไปก์"},
        {
            "en": "Chapter 3's network: each number is a count of spikes",
            "th": "โครงข่ายจากบทที่ 3 ตัวเลขทุกตัวคือจำนวนสไปก์",
        },
        network="spiking",
    ),
)
"""In the page's order; the first is fetched at the first visit."""

CHIPS = (
    "เมืองกรุงเทพ อยู่ในดินแดนใด",
    "In the territory Thailand, which money do people use?",
    "What script does the language Khmer use?",
    "สกุลเงินบาท ย่อว่าอย่างไร",
)
"""Questions on the page's buttons; every model answers them rightly (a test holds it)."""
