"""The phone page in a real Chromium that says it is a phone: visits, answers, keyboard, offline, looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from neurolab import assistant, facts, measurements_add
from neurolab import browser as browsers
from neurolab.export import phone_files
from neurolab.tokens import END_ID, encode_question
from tests.browser.phone_host import OFFLINE, READY, Host, ask, hosted
from tests.browser.site import AXE, LOOKS, looks

CLIENT = "const { Client } = await import('/client.mjs'); const client = new Client();"


def test_first_visit_second_visit_and_no_network_at_all(
    phone_folder: Path, phone: Callable[..., Any], listed: dict[str, Any]
) -> None:
    question, answers = listed["examples"][0]["question"], listed["examples"][0]["answers"]
    with hosted(phone_folder) as (host, address):
        page = phone()
        page.goto(address)
        page.wait_for_selector(OFFLINE)
        assert ask(page, question) == answers["int8"]
        assert all(status == 200 for _, status, _ in host.sent)
        assert {path.split("?")[0].lstrip("/") for path, _, _ in host.sent} >= {
            listed["runtime"]["path"],
            listed["models"][0]["files"]["model"]["path"],
            "sw.js",
        }
        assert 4_000_000 < host.bytes <= phone_files.BUDGET
        large = [path for path, _, size in host.sent if size > 200_000]
        assert len(large) == len(set(large)) == 2, "runtime and model, each once"

        before = host.bytes
        second = page.context.new_page()
        page.close()
        second.goto(address)
        second.wait_for_selector(OFFLINE)
        assert ask(second, question) == answers["int8"]
        assert host.bytes == before, "a second visit transfers nothing"
    second.reload()
    second.wait_for_selector(READY)
    assert ask(second, question) == answers["int8"]
    second.goto("about:blank")
    second.goto(address)
    second.wait_for_selector(OFFLINE)
    assert ask(second, question) == answers["int8"], "the host is gone, and the page goes on"
    second.locator("#models input[value=qat18]").check()
    second.wait_for_selector("#notice[data-code=connection]:visible")


def test_answers_are_pythons(
    host: tuple[Host, str], phone: Callable[..., Any], listed: dict[str, Any]
) -> None:
    page = phone()
    page.goto(f"{host[1]}models/models.json")
    asked = [example["question"] for example in listed["examples"]]
    for model in listed["models"]:
        said = page.evaluate(
            "async (more) => {" + CLIENT + " return (await client.call('answers', more)).answers; }",
            {"name": model["name"], "questions": asked},
        )
        assert said == [example["answers"][model["name"]] for example in listed["examples"]], model["name"]


def test_every_question_has_pythons_tokens(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    tokenizer = assistant.load_tokenizer(assistant.FOLDER / assistant.TOKENIZER)
    odd = [
        "  <end> a?.? ", "ภาษาไทย\u200b ภาษา", "e\u0301\u3000x\x85", "\ufeffA\x1fB",
        "😀👨\u200d👩", "<answer><pad>", "ดินแดนดินแดน  ดินแดน", "a\x00b", "ß İ Σς", "١٢٣ 123", "\t\n x\r\n",
    ]  # fmt: skip
    texts = [*dict.fromkeys(q.text for q in facts.questions()), *odd]
    wanted = [encode_question(tokenizer, text) for text in texts]
    page = phone()
    page.goto(f"{host[1]}models/models.json")
    wrong = page.evaluate(
        """async ([texts, wanted, json]) => {
            const { Tokenizer } = await import("/tokenizer.mjs");
            const tokenizer = new Tokenizer(JSON.parse(json));
            return texts.filter((text, i) => tokenizer.question(text).join(" ") !== wanted[i]).slice(0, 5);
        }""",
        [
            texts,
            [" ".join(map(str, ids)) for ids in wanted],
            (assistant.FOLDER / assistant.TOKENIZER).read_text(encoding="utf-8"),
        ],
    )
    assert wrong == []
    answers = sorted({q.answer for q in facts.questions()})
    coded = [[*tokenizer.encode(text, add_special_tokens=False).ids, END_ID, 77] for text in answers]
    back = page.evaluate(
        """async ([coded, json]) => {
            const { Tokenizer } = await import("/tokenizer.mjs");
            const tokenizer = new Tokenizer(JSON.parse(json));
            return coded.map((ids) => tokenizer.decode(ids));
        }""",
        [coded, (assistant.FOLDER / assistant.TOKENIZER).read_text(encoding="utf-8")],
    )
    assert back == answers


def test_a_devices_name_is_cut_between_characters(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    names = {
        "\U0001f600" * 90: "\U0001f600" * 80,  # 180 units of UTF-16, 90 characters
        "x" * 79 + "\U0001f600\U0001f600": "x" * 79 + "\U0001f600",
        "x" * 80 + "\U0001f600": "x" * 80,
        "x" * 79 + " \U0001f600": "x" * 79,
        "  a \u0007 <b>  c ": "a b c",
        "โทรศัพท์" * 12: ("โทรศัพท์" * 12)[:80],
    }
    page = phone()
    page.goto(f"{host[1]}models/models.json")
    script = """async (names) => {
        const { clean } = await import("/row.mjs");
        return [...names.map((name) => clean(name)), clean("a\\ud83d"), clean("\\ude00b"), clean("\\ud83d")];
    }"""
    found = page.evaluate(script, list(names))
    assert found == [*names.values(), "a", "b", ""]
    form = measurements_add.schema()
    device = {**form["$defs"]["text"], "$defs": form["$defs"]}
    assert all(Draft202012Validator(device).is_valid(name) for name in found if name)


def test_the_keyboard_is_enough(
    host: tuple[Host, str], phone: Callable[..., Any], listed: dict[str, Any]
) -> None:
    page = phone(has_touch=False, is_mobile=False)
    page.goto(host[1])
    page.wait_for_selector(READY)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.type(listed["chips"][1])
    page.keyboard.press("Enter")
    page.wait_for_selector("#talk[data-answers='1']")
    seen: list[str] = []
    while len(seen) < 30 and "go" not in seen:
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        if seen[-1] == "model" and seen.count("model") == 1:
            page.keyboard.press("ArrowDown")
            page.wait_for_selector("html[data-open=fp32]")
            assert page.evaluate("document.activeElement.value") == "fp32", "the choice keeps the focus"
    assert {"model", "iterations", "form", "device", "go"} <= set(seen)
    assert page.evaluate("[...document.querySelectorAll('#talk li')].length") == 1


@pytest.mark.parametrize(
    ("width", "theme", "language"),
    [(360, "light", "th-TH"), (390, "dark", "en-GB"), (1280, "light", "en-GB"), (320, "dark", "th-TH")],
)
def test_it_is_whole_and_readable(
    width: int,
    theme: str,
    language: str,
    host: tuple[Host, str],
    phone: Callable[..., Any],
    listed: dict[str, Any],
) -> None:
    page = phone(
        viewport={"width": width, "height": 800}, color_scheme=theme, locale=language, bypass_csp=True
    )
    page.goto(host[1])
    page.wait_for_selector(READY)
    assert page.locator("html").get_attribute("lang") == language[:2]
    assert (
        page.locator("h1")
        .inner_text()
        .startswith({"th": "โมเดลภาษา", "en": "A language model"}[language[:2]])
    )
    for count, chip in enumerate(page.locator("#chips button").all(), 1):
        chip.click()
        page.wait_for_selector(f"#talk[data-answers='{count}']")
    page.evaluate(
        "document.querySelector('#result').hidden = document.querySelector('#notice').hidden = false"
    )
    page.add_script_tag(path=str(LOOKS))
    page.add_script_tag(path=str(AXE))
    assert looks(page) == []
    low = "[...document.querySelectorAll('button, select, input[type=text], .models label, .ticks label')]"
    assert page.evaluate(low + ".filter((e) => e.offsetParent && e.offsetHeight < 40).map((e) => e.id)") == []


def test_the_language_is_chosen_and_remembered(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    page = phone(locale="th-TH")
    page.goto(host[1])
    page.wait_for_selector(READY)
    page.locator("button[data-language=en]").click()
    assert page.locator("#ask button").inner_text() == "Ask"
    assert page.locator("#models label").first.inner_text().startswith("8 bits")
    page.reload()
    page.wait_for_selector(READY)
    assert page.locator("html").get_attribute("lang") == "en"
    page.locator("button[data-language=th]").click()
    assert page.locator("#ask button").inner_text() == "ถาม"
    page.locator("#question").fill("?")
    page.locator("#question").press("Enter")
    page.wait_for_selector("#notice[data-code=empty_question]:visible")
    assert page.locator("#notice p").inner_text() == "พิมพ์คำถามก่อน"


def test_long_and_empty_questions_are_told(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    page = phone()
    page.goto(host[1])
    page.wait_for_selector(READY)
    for text, code in (("   ", "empty_question"), ("x y z " * 60, "long_question")):
        page.locator("#question").fill(text)
        page.locator("#question").press("Enter")
        page.wait_for_selector(f"#notice[data-code={code}]:visible")
    assert ask(page, "สกุลเงินบาท ย่อว่าอย่างไร") == "THB", "and the page goes on"


def test_the_benchmark_makes_rows_that_the_course_takes(
    host: tuple[Host, str], phone: Callable[..., Any], tmp_path: Path
) -> None:
    page = phone()
    page.goto(host[1])
    page.wait_for_selector(READY)
    assert page.locator("#form").input_value() == "phone"
    page.locator("#measured input[value=qat18]").check()
    page.locator("#device").fill("  a <phone> of the test's ")
    page.locator("#go").click()
    page.wait_for_selector("#stop:visible")
    page.wait_for_selector("#result:visible")
    found = json.loads(page.locator("#row").input_value())
    rows = measurements_add.check(found)
    assert [row.setting["model"] for row in rows] == ["int8", "qat18"]
    assert {row.name for row in rows} == {"phone.latency"}
    assert all(row.figures["iterations"] == 100 for row in rows)
    assert all(row.figures["answers_equal"] == row.figures["answers_asked"] == 24 for row in rows)
    assert rows[0].setting["device"] == "a phone of the test's"
    assert rows[0].setting["browser"] == "Chrome 131"
    assert rows[0].provenance["automated"] is True
    assert rows[1].figures["ratio_vs_int8"] == pytest.approx(
        rows[0].figures["p50_ms"] / rows[1].figures["p50_ms"]
    )
    assert page.locator("#table tbody tr").count() == 2
    with page.expect_download() as waiting:
        page.locator("#save").click()
    assert json.loads(Path(waiting.value.path()).read_text(encoding="utf-8")) == found
    assert waiting.value.suggested_filename.startswith("phone-a-phone-of-the-test-s-chrome-131-")
    with pytest.raises(ValueError, match="a program drives"):
        measurements_add.add(Path(waiting.value.path()), tmp_path)


def test_the_benchmark_stops_when_told(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    page = phone()
    page.goto(host[1])
    page.wait_for_selector(READY)
    page.locator("#iterations").select_option("1000")
    page.locator("#go").click()
    page.wait_for_selector("#running[data-done]", state="attached")
    page.locator("#stop").click()
    page.wait_for_selector("#measure-notice[data-code=stopped_early]:visible")
    assert page.locator("#result").is_hidden()
    assert page.locator("#stop").is_hidden()
    assert ask(page, "สกุลเงินบาท ย่อว่าอย่างไร") == "THB", "and the page goes on"


def test_over_plain_http_it_says_what_is_missing_and_works(phone_folder: Path, chromium: Any) -> None:
    with hosted(phone_folder) as (_, address):
        rules = "--host-resolver-rules=MAP phone.test 127.0.0.1"
        running = chromium.browser_type.launch(
            executable_path=browsers.chromium(), args=[*browsers.QUIET, rules]
        )
        page = running.new_page(locale="en-GB")
        page.set_default_timeout(120_000)
        page.goto(address.replace("127.0.0.1", "phone.test"))
        page.wait_for_selector(READY)
        assert (
            page.evaluate("[isSecureContext, Boolean(window.caches), Boolean(crypto.subtle)]") == [False] * 3
        )
        assert "plain HTTP" in page.locator("#offline").inner_text()
        assert ask(page, "สกุลเงินบาท ย่อว่าอย่างไร") == "THB"
        page.locator("#go").click()
        page.wait_for_selector("#result:visible")
        page.locator("#copy").click()
        assert "copy it by hand" in page.locator("#result-words").inner_text()
        assert page.evaluate("getSelection().toString() || document.activeElement.value").startswith("[")
        running.close()
