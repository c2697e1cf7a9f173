"""The capstone: what it measures, what it refuses, and that more than one road leads there."""

from dataclasses import asdict

import pytest
import torch

from neurolab import assistant, capstone, compressed, facts, pruning, ptq
from neurolab.capstone import HAND_LUGGAGE, THE_ARTICLE_S, Budget, Measured, check, judged, measure
from neurolab.export import export as write
from neurolab.export import open_session
from neurolab.measurements import read
from neurolab.paths import DATA
from neurolab.quantized import put

CONFIG = asdict(assistant.load().model.config)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def as_fast(*_):
    """In place of the clock where a test is about something else."""
    return 1.0, 1.0, 1.0


def pruned_and_rounded(path):
    thin = pruning.plain(pruning.prune(assistant.load().model, 0.3))
    compressed.save(path, ptq.rtn(thin, 4, "tensor"), config=CONFIG)
    return "int8"


def bits_where_they_count(path):
    """Matrix by matrix as many bits as the rows on sensitivity say, by greed: about 3.2 bits a weight."""
    model, spent = assistant.load().model, {}
    rows = [r for r in read("compression.sensitivity") if r.setting["bits"] in (3, 4)]
    loss = {(r.setting["tensor"], r.setting["bits"]): r.figures["bits_per_answer_byte"] for r in rows}
    names = sorted({name for name, _ in loss}, key=lambda n: loss[n, 3] - loss[n, 4])
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    total, room = sum(sizes[name] for name in names), 0.42
    for name in names:  # the least sensitive ones get 3 bits
        cheap = sum(sizes[n] for n, b in spent.items() if b == 3) + sizes[name] <= room * total
        spent[name] = 3 if cheap else 4
    coded = {bits: ptq.rtn(model, bits, "tensor") for bits in (3, 4)}
    tensors = {name: coded[spent.get(name, 4)][name] for name in coded[4]}
    compressed.save(path, tensors, config=CONFIG)


ROADS = [pruned_and_rounded, bits_where_they_count]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
def test_more_than_one_road_leads_there(road, monkeypatch):
    monkeypatch.setattr(capstone, "faster", as_fast)
    report = check(road)
    assert report.passed, report
    assert len(report.lines) == 3


def test_the_roads_need_no_clock_to_be_lucky(tmp_path):
    """A token of the same graph takes as long; unpacking 4 bits at each call takes far longer."""
    path = tmp_path / "a.nlab"
    compressed.save(path, ptq.rtn(assistant.load().model, 4, "tensor"), config=CONFIG)
    helper = assistant.load()
    model = compressed.load(path).model().eval()
    opened = {}
    for name in ("fp32", "int4_unpacked"):
        write("onnx", name, tmp_path / name, assistant=assistant.Assistant(model, helper.tokenizer, {}))
        opened[name] = open_session(tmp_path / name)
    config = model.config
    same = capstone.faster(opened["fp32"].run, config, opened["fp32"].run, config, pairs=7)
    slow = capstone.faster(opened["int4_unpacked"].run, config, opened["fp32"].run, config, pairs=5, calls=5)
    assert same[0] > HAND_LUGGAGE.speed > slow[0]
    assert slow[1] <= slow[0] <= slow[2]


def test_what_is_measured_is_the_file_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(capstone, "faster", as_fast)
    helper = assistant.load()
    path = tmp_path / "mine.nlab"
    tensors = ptq.rtn(helper.model, 4, "channel")
    text = (assistant.FOLDER / assistant.TOKENIZER).read_text(encoding="utf-8")
    compressed.save(path, tensors, config=CONFIG, tokenizer=text)
    found = measure(path)
    bare = tmp_path / "bare.nlab"
    compressed.save(bare, tensors, config=CONFIG)
    assert 0 <= found.bytes - bare.stat().st_size < 16  # the digits of a size in the header
    assert path.stat().st_size > bare.stat().st_size + 1000
    asked = capstone.sample()
    assert len(asked) == len(set(asked)) == capstone.ASKED
    assert set(asked) <= set(facts.split("held_out"))
    texts = [q.text for q in asked]
    theirs = assistant.Assistant(put(helper.model, tensors), helper.tokenizer, {}).answers(texts)
    right = sum(assistant.exact_match(a, q.answer) for a, q in zip(theirs, asked, strict=True)) / len(asked)
    assert found.right == pytest.approx(right, abs=0.005)


def test_a_file_that_answers_worse_is_found_out(monkeypatch):
    monkeypatch.setattr(capstone, "faster", as_fast)

    def crude(path):
        compressed.save(path, ptq.rtn(assistant.load().model, 2, "tensor"), config=CONFIG)
        return "fp32"

    report = check(crude)
    assert not report.passed
    assert [ok for *_, ok in report.lines] == [True, False, True]
    assert "Right answers" in report.message


def test_the_course_s_own_files_are_recognised():
    def lazy(path):
        path.write_bytes((DATA / "compressed" / "qat28.nlab").read_bytes())
        return "int8"

    assert "one of the course's" in check(lazy).message


def test_what_is_no_answer_is_said_and_never_raised(tmp_path):
    assert check(None).status == check(...).status == check(3).status == "not yet"
    assert check(lambda path: None).status == "not yet"
    assert check(lambda path: "fp32").status == "wrong"
    assert "ZeroDivisionError" in check(lambda path: 1 / 0).message
    assert "can't be used" in check(lambda path: path.write_bytes(b"nonsense") and "fp32").message

    def odd(path):
        compressed.save(path, ptq.rtn(assistant.load().model, 8, "tensor"), config=CONFIG)
        return "fp7"

    assert "precision is 'fp7'" in check(odd).message
    with pytest.raises(compressed.CompressedError, match="missing"):
        measure(tmp_path / "none.nlab")
    for bad in ({"bytes": 0}, {"right": 1.5}, {"speed": 0}):
        with pytest.raises(ValueError, match="needs >= 1"):
            Budget(**({"bytes": 1, "right": 1, "speed": 1} | bad))


def test_each_part_of_the_budget_counts():
    good = Measured(600_000, 0.97, 0.8, 0.7, 0.9)
    assert judged(good, HAND_LUGGAGE).passed
    for bad, word in (
        (Measured(600_001, 0.97, 0.8, 0.7, 0.9), "Bytes"),
        (Measured(600_000, 0.968, 0.8, 0.7, 0.9), "Right"),
        (Measured(600_000, 0.97, 0.79, 0.7, 0.9), "Speed"),
    ):
        report = judged(bad, HAND_LUGGAGE)
        assert report.message.startswith(word)
        assert "over" in repr(report)
        assert "\u2717" in report._repr_html_()
    assert "within the budget" in judged(good, HAND_LUGGAGE)._repr_html_().lower()


def test_the_article_s_budget_is_that_of_the_rows():
    (eight,) = read("export.runtime", runtime="onnx", precision="int8", model="assistant")
    assert eight.figures["bytes"] // 5 == THE_ARTICLE_S.bytes
    assert THE_ARTICLE_S.right == pytest.approx(eight.figures["exact_match"] - 0.03, abs=0.0015)
    (small,) = read("compression.headline", target="qat28", seed=1)
    assert small.figures["bytes"] < THE_ARTICLE_S.bytes  # in bytes and answers it can be done
    assert small.figures["exact_match"] > THE_ARTICLE_S.right
