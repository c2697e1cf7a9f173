"""Hugging Face models asked the sets: tiny ones, made by their config classes, saved and opened again."""

import sys

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from neurolab import own_model, set_models
from neurolab.evaluating import compare
from neurolab.hub import transformers
from neurolab.set_cards import card
from neurolab.set_models import label_order, longest, open_model, span
from neurolab.test_sets import Example, load
from tests.set_rows import rows

RTE = load("glue_rte", rows(card("glue_rte")))
TEXT = " ".join(
    [
        *(card("glue_rte").prompt, card("glue_stsb").prompt, card("squad").prompt),
        *(text for e in RTE for text in e.texts),
        *(text for row in rows(card("squad")) for text in (row["question"], row["context"])),
        "yes no maybe 0 1 2 3 4 5",
    ]
)
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *sorted(set(TEXT.replace("\n", " ").split()) | {f"w{i}" for i in range(80)}),
]


@pytest.fixture(scope="module")
def library():
    torch.set_num_threads(1)
    return transformers()


@pytest.fixture(scope="module")
def tokenizer(library):
    """Whole words between spaces, pairs as BERT takes them."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return library.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **names)


@pytest.fixture(scope="module")
def plain(library):
    """The same words with nothing put around them, as decoders have it."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return library.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", eos_token="[SEP]")


def bert(library, head, **more):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = library.BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, **sizes, **more)
    return loud(getattr(library, f"BertFor{head}")(config))


def decoder(library, kind="GPT2LMHeadModel"):
    torch.manual_seed(0)
    if kind.startswith("GPT2"):
        sizes = {"n_positions": 96, "n_embd": 32, "n_layer": 2, "n_head": 2}
        config = library.GPT2Config(vocab_size=len(WORDS), **sizes, bos_token_id=2, eos_token_id=3)
    else:
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
        config = library.LlamaConfig(
            vocab_size=len(WORDS), hidden_size=32, max_position_embeddings=96, **sizes, num_key_value_heads=1
        )
    return loud(getattr(library, kind)(config))


def loud(network):
    """Weights large enough that outputs differ clearly between inputs."""
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim == 2:
                p.mul_(8)
    return network.eval()


def saved(folder, network, tokenizer):
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def logits_alone(network, tokenizer, example):
    """What the network says to one pair by itself, unpadded: (labels,)."""
    with torch.inference_mode():
        return network(**tokenizer(*example.texts, return_tensors="pt")).logits[0]


def centre(network, tokenizer, examples):
    """Move the network to the middle between its labels."""
    with torch.no_grad():
        network.classifier.bias -= sum(logits_alone(network, tokenizer, e) for e in examples) / len(examples)


def test_a_classifier_answers_as_its_network_does_alone(library, tokenizer, tmp_path):
    network = bert(library, "SequenceClassification", num_labels=2)
    examples = [Example(str(i), (f"w{i} w{3 * i}" * (1 + i % 3), f"w{79 - i}"), 0) for i in range(24)]
    centre(network, tokenizer, examples)
    asked = open_model(saved(tmp_path, network, tokenizer), card("glue_rte"), batch=2)
    alone = [int(logits_alone(network, tokenizer, e).argmax()) for e in examples]
    assert asked(examples) == alone
    assert set(alone) == {0, 1}


def test_labels_go_by_their_names(library, tokenizer, tmp_path):
    network = bert(library, "SequenceClassification", num_labels=2)
    plain = open_model(saved(tmp_path / "plain", network, tokenizer), card("glue_rte"))
    network.config.id2label = {0: "NOT_ENTAILMENT", 1: "ENTAILMENT"}
    network.config.label2id = {"NOT_ENTAILMENT": 0, "ENTAILMENT": 1}
    named = open_model(saved(tmp_path / "named", network, tokenizer), card("glue_rte"))
    assert [1 - a for a in named(RTE)] == plain(RTE)


def test_label_orders():
    mnli = card("glue_mnli")
    assert label_order(["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], mnli) == [2, 1, 0]
    assert label_order(["LABEL_0", "LABEL_1", "LABEL_2"], mnli) == [0, 1, 2]
    with pytest.raises(ValueError, match="labels are yes, no; glue_mnli has entailment"):
        label_order(["yes", "no"], mnli)
    with pytest.raises(ValueError, match="labels are LABEL_0, LABEL_1"):
        label_order(["LABEL_0", "LABEL_1"], mnli)


def test_a_score_is_the_one_output(library, tokenizer, tmp_path):
    examples = load("glue_stsb", rows(card("glue_stsb")))
    network = bert(library, "SequenceClassification", num_labels=1)
    asked = open_model(saved(tmp_path, network, tokenizer), card("glue_stsb"), batch=3)
    wanted = [float(logits_alone(network, tokenizer, e)) for e in examples]
    assert asked(examples) == pytest.approx(wanted, abs=1e-5)
    two = saved(tmp_path / "two", bert(library, "SequenceClassification", num_labels=2), tokenizer)
    with pytest.raises(ValueError, match="2 outputs; glue_stsb asks for one score"):
        open_model(two, card("glue_stsb"))


def test_a_span_is_the_best_of_all_that_are_allowed():
    chance = np.random.default_rng(0)
    for n in (1, 5, 60):
        starts, ends = (torch.from_numpy(chance.normal(size=n)) for _ in range(2))
        inside = torch.from_numpy(chance.random(n) < 0.7)
        inside[0] = True
        pairs = [(a, b) for a in range(n) for b in range(a, min(n, a + 30)) if inside[a] and inside[b]]
        best = max(pairs, key=lambda p: starts[p[0]] + ends[p[1]])
        score, first, last = span(starts, ends, inside)
        assert (first, last) == best
        assert score == pytest.approx(float(starts[best[0]] + ends[best[1]]))
    assert span(torch.zeros(3), torch.zeros(3), torch.zeros(3, dtype=torch.bool))[0] == -torch.inf


class Pointer:
    """In a network's place: points at the tokens `first` and `last` wherever they stand."""

    def __init__(self, config, first, last):
        self.config, self.first, self.last, self.longest = config, first, last, 0

    def __call__(self, input_ids, **_):
        self.longest = max(self.longest, input_ids.shape[1])
        out = type("Logits", (), {})
        out.start_logits, out.end_logits = ((input_ids == i) * 9.0 for i in (self.first, self.last))
        return out


@pytest.mark.parametrize("at", [0, 30, 100, 298])
def test_an_answer_is_found_wherever_it_stands_in_a_long_text(library, tokenizer, at):
    words = ["w7"] * 300
    words[at : at + 2] = ["w1", "w2"]
    example = Example("x", ("w1 w2 " * 200, " ".join(words)), ("w1 w2",))  # in the question too: not there
    pointer = Pointer(library.BertConfig(max_position_embeddings=64), WORDS.index("w1"), WORDS.index("w2"))
    reader = set_models.Reader(pointer, tokenizer, card("squad"), batch=4)
    short = Example("y", ("w3", "  w1 w5 w2 w2"), ("w1 w5 w2",))
    assert reader([example, short]) == ["w1 w2", "w1 w5 w2"]
    assert pointer.longest == 64


def test_a_reader_gives_pieces_of_the_text_whatever_the_batch(library, tokenizer, tmp_path):
    examples = load("squad", rows(card("squad")))
    place = saved(tmp_path, bert(library, "QuestionAnswering"), tokenizer)
    found = open_model(place, card("squad"), batch=1)(examples)
    assert found == open_model(place, card("squad"), batch=8)(examples)
    assert all(a and a in e.texts[1] for a, e in zip(found, examples, strict=True))


@pytest.mark.parametrize("kind", ["GPT2LMHeadModel", "LlamaForCausalLM"])
def test_a_decoder_takes_the_likeliest_word(library, plain, tmp_path, kind):
    network, rte = decoder(library, kind), card("glue_rte")
    asked = open_model(saved(tmp_path, network, plain), rte, batch=3)
    wanted = []
    for example in RTE:
        ids = torch.tensor([plain(rte.prompt.format(*example.texts))["input_ids"]])
        with torch.inference_mode():
            logs = network(ids).logits[0, -1].log_softmax(-1)
        wanted.append([float(logs[WORDS.index(word)]) for word in rte.words])
    prompts = [rte.prompt.format(*e.texts) for e in RTE]
    assert asked.likelihoods(prompts).numpy() == pytest.approx(np.array(wanted), abs=2e-4)
    assert asked(RTE) == [int(np.argmax(row)) for row in wanted]


def test_a_words_probability_is_that_of_all_its_tokens(library, plain, tmp_path):
    asked = open_model(saved(tmp_path, decoder(library), plain), card("glue_rte"))
    asked.card = type(asked.card)(**{**vars(asked.card), "words": ("w1 w2 w3", "w4")})
    ids = torch.tensor([plain("w5 w6 w1 w2 w3")["input_ids"]])
    with torch.inference_mode():
        logs = asked.network(ids).logits[0].log_softmax(-1)
    wanted = sum(float(logs[i - 1, ids[0, i]]) for i in (2, 3, 4))
    assert float(asked.likelihoods(["w5 w6"])[0, 0]) == pytest.approx(wanted, abs=1e-4)
    ids = torch.tensor([plain("w9 " * 200 + "w5 w6 w4")["input_ids"][-96:]])  # it loses its beginning
    with torch.inference_mode():
        logs = asked.network(ids).logits[0].log_softmax(-1)
    found = asked.likelihoods(["w5 w6", "w9 " * 200 + "w5 w6"])
    assert float(found[1, 1]) == pytest.approx(float(logs[-2, ids[0, -1]]), abs=1e-4)


def test_a_decoders_score_is_the_mean_by_its_probabilities(library, plain, tmp_path):
    stsb = card("glue_stsb")
    examples = load("glue_stsb", rows(stsb))
    asked = open_model(saved(tmp_path, decoder(library), plain), stsb)
    likely = asked.likelihoods([stsb.prompt.format(*e.texts) for e in examples]).double().exp().numpy()
    wanted = (likely * np.arange(6)).sum(1) / likely.sum(1)
    found = asked(examples)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert all(0 <= value <= 5 for value in found)


def test_a_decoder_writes_greedily_after_the_end_of_a_long_prompt(library, plain, tmp_path):
    network, squad = decoder(library), card("squad")
    asked = open_model(saved(tmp_path, network, plain), squad)
    for context in ("w1 w2 w3", "w9 " * 200 + "w2"):
        prompt = squad.prompt.format("w4 w5", context)
        ids, wrote = plain(prompt)["input_ids"][-(96 - 32) :], []
        for _ in range(32):
            with torch.inference_mode():
                following = int(network(torch.tensor([ids])).logits[0, -1].argmax())
            if following == plain.eos_token_id:
                break
            ids, wrote = [*ids, following], [*wrote, following]
        (found,) = asked([Example("x", ("w4 w5", context), ("w1",))])
        assert found == plain.decode(wrote).strip()
        assert found


def test_a_rounded_copy_is_compared_with_the_float_one(library, tokenizer, tmp_path):
    network = bert(library, "SequenceClassification", num_labels=2)
    examples = [Example(str(i), (f"w{i} w{3 * i % 80}", f"w{79 - i}"), 0) for i in range(40)]
    centre(network, tokenizer, examples)
    saved(tmp_path / "float", network, tokenizer)
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim == 2:
                p.copy_((p / p.abs().max() * 3).round() * p.abs().max() / 3)  # seven levels
    saved(tmp_path / "rounded", network, tokenizer)
    both = {name: open_model(tmp_path / name, card("glue_rte")) for name in ("float", "rounded")}
    truths = [Example(e.id, e.texts, a) for e, a in zip(examples, both["float"](examples), strict=True)]
    found = compare("glue_rte", truths, both, against="float").versus("rounded")
    assert found["accuracy_drop_points"] == pytest.approx(100 - found["equal_answers_percent"])
    assert 0 < found["accuracy_drop_points"] < 100


def test_a_model_compressed_by_the_course_is_set_beside_the_float_one(library, tokenizer, tmp_path):
    network = bert(library, "SequenceClassification", num_labels=2)
    examples = [Example(str(i), (f"w{i} w{3 * i % 80}", f"w{79 - i}"), 0) for i in range(40)]
    centre(network, tokenizer, examples)
    saved(tmp_path / "float", network, tokenizer)
    for precision in ("int8", "int4"):
        own_model.compress(tmp_path / "float", tmp_path / f"{precision}.nlab", precision=precision)
        own_model.decompress(tmp_path / f"{precision}.nlab", tmp_path / precision)
    models = {name: open_model(tmp_path / name, card("glue_rte")) for name in ("float", "int8", "int4")}
    truths = [Example(e.id, e.texts, a) for e, a in zip(examples, models["float"](examples), strict=True)]
    found = compare("glue_rte", truths, models, against="float")
    assert found.versus("int8")["equal_answers_percent"] >= 95
    assert found.versus("int4")["equal_answers_percent"] < 100


def test_positions_of_roberta_begin_behind_the_padding(library, tokenizer):
    network = type("Network", (), {"config": library.CamembertConfig(max_position_embeddings=50)})
    assert longest(network, tokenizer, 512) == 48
    network.config = library.BertConfig(max_position_embeddings=50)
    assert longest(network, tokenizer, 512) == 50
    assert longest(network, tokenizer, 20) == 20
    network.config = library.BertConfig(max_position_embeddings=500)
    assert longest(network, tokenizer, 512) == tokenizer.model_max_length == 64


def test_models_that_cannot_be_asked_are_refused_by_name(library, tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"model nobody/nothing is no folder here; .* only when asked"):
        open_model("nobody/nothing", card("squad"))
    packed = tmp_path / "model.nlab"
    packed.write_bytes(b"x")
    with pytest.raises(ValueError, match="unpack it with `neurolab decompress`"):
        open_model(packed, card("squad"))
    masked = saved(tmp_path / "masked", bert(library, "MaskedLM"), tokenizer)
    with pytest.raises(
        ValueError, match=r"is BertForMaskedLM; can be asked: \.\.\.ForSequenceClassification"
    ):
        open_model(masked, card("squad"))
    pairs = saved(tmp_path / "pairs", bert(library, "SequenceClassification"), tokenizer)
    with pytest.raises(
        ValueError, match="BertForSequenceClassification, which gives labels; squad asks answers"
    ):
        open_model(pairs, card("squad"))
    with pytest.raises(ValueError, match="batch is 0"):
        open_model(pairs, card("glue_rte"), batch=0)


@pytest.mark.parametrize(
    ("head", "name"),
    [("SequenceClassification", "glue_rte"), ("QuestionAnswering", "squad"), ("", "glue_rte")],
)
def test_a_broken_network_is_no_bad_one(library, tokenizer, plain, tmp_path, head, name):
    network = bert(library, head) if head else decoder(library)
    with torch.no_grad():
        next(network.parameters())[:] = torch.nan
    asked = open_model(saved(tmp_path, network, tokenizer if head else plain), card(name))
    with pytest.raises(ValueError, match="no finite numbers: its weights are damaged"):
        asked(load(name, rows(card(name))))


def test_weights_that_are_pickled_are_not_read(library, tokenizer, tmp_path):
    network = bert(library, "SequenceClassification")
    saved(tmp_path, network, tokenizer)
    (tmp_path / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        open_model(tmp_path, card("glue_rte"))


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"extra \[hub\], `pip install -c constraints.txt -e .\[hub\]`"):
        open_model(tmp_path, card("squad"))
