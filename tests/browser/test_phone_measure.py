"""The rows of the phone page: what they say is what the page does."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error

from neurolab.export import phone_measure
from neurolab.sweeps import export_phone

QUESTIONS = ["What is the capital of France?", "เมืองหลวงของไทยคืออะไร"]


def test_a_row_tells_answers_bytes_strange_requests_and_the_reload_without_a_network(
    phone_folder: Path, monkeypatch: Any
) -> None:
    opens, opened = phone_measure.visit, []

    def strays(page: Any, address: str, model: str) -> None:
        opens(page, address, model)
        opened.append(address)
        if len(opened) == 2:  # the second visit only
            other = page.context.new_page()
            with contextlib.suppress(Error):
                other.goto("http://127.0.0.2:9/")
            other.close()

    monkeypatch.setattr(phone_measure, "visit", strays)
    pythons = phone_measure.pythons_answers(phone_folder, "int8", QUESTIONS)
    found = phone_measure.measure(phone_folder, "int8", QUESTIONS, [pythons[0], "another answer"], timed=2)
    assert (found["equal_answers_percent"], found["questions"]) == (50, 2)
    assert found["first_visit_bytes"] > 4_000_000
    assert found["second_visit_bytes"] == 0
    assert found["outside_requests"] == 1
    assert found["offline_reload"] == 1
    with pytest.raises(ValueError, match="questions 2 and pythons 1"):
        phone_measure.measure(phone_folder, "int8", QUESTIONS, pythons[:1])


def test_a_download_is_against_the_packed_floats(monkeypatch: Any) -> None:
    monkeypatch.setattr(export_phone, "loads", lambda: {"fp32": 5000, "ptq12": 400})
    assert export_phone.download("ptq12") == {"bytes": 400, "bytes_fp32": 5000, "ratio_vs_fp32": 12.5}
