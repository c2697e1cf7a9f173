"""Networks out to NIR and back: every bit of the weights, and every spike in two other simulators."""

import re
import subprocess
import sys

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import digits
from neurolab.export import chips, nir_block, simulators
from neurolab.export.classifier import T, train
from neurolab.export.nir import DT, NOTE, Layer, from_nir, to_nir
from neurolab.neurons import lif
from neurolab.paths import ROOT
from neurolab.spiking import features, norm
from neurolab.spiking_files import Spiking, shapes
from neurolab.spiking_rules import IntegerRest
from neurolab.transformer import Config

torch.set_num_threads(1)
CONFIG = Config(vocabulary=20, context=12, width=12, layers=2, heads=3, hidden=16)


@pytest.fixture(scope="module")
def hard() -> list[Layer]:
    return train("zero", rounds=8)


@pytest.fixture(scope="module")
def soft() -> list[Layer]:
    return train("subtract", rounds=3)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.tensor(digits.load()[2])


def same(one: list[Layer], other: list[Layer]) -> bool:
    """The same bits, beta and theta as float32 holds them."""
    return len(one) == len(other) and all(
        torch.equal(a.W, b.W)
        and torch.equal(a.b, b.b)
        and np.float32(a.beta) == np.float32(b.beta)
        and np.float32(a.theta) == np.float32(b.theta)
        and a.reset == b.reset
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("gain", ["weights", "r"])
def test_the_classifier_comes_back_to_the_bit_through_a_file(hard, gain, tmp_path):
    graph = to_nir(hard, gain=gain)
    nir.write(tmp_path / "digits.nir", graph)
    assert same(from_nir(graph), hard)
    assert same(from_nir(tmp_path / "digits.nir"), hard)


@pytest.mark.parametrize("by", ["neurolab", "snntorch", "norse"])
def test_every_spike_of_the_test_digits_is_the_same_in_another_simulator(hard, pictures, by):
    first = lif(torch.nn.functional.linear(pictures, hard[0].W, hard[0].b), 0.9, 1.0, "zero", T=T).s
    second = lif(torch.nn.functional.linear(first, hard[1].W, hard[1].b), 0.9, 1.0, "zero").s
    heard = simulators.run(to_nir(hard), pictures, T, by)
    assert torch.equal(heard[0], first)
    assert torch.equal(heard[1], second)
    assert first.sum() > 10_000
    right = second.mean(0).argmax(1).numpy() == digits.load()[3]
    assert right.mean() > 0.95


def test_where_the_gain_stands_decides_who_can_read_it(hard, pictures):
    graph = to_nir(hard, gain="r")
    ours = simulators.run(graph, pictures, T)
    assert simulators.differing(ours, simulators.run(graph, pictures, T, "snntorch")) == 0
    silent = simulators.run(graph, pictures, T, "norse")  # norse leaves r out: a tenth of the input
    assert silent[-1].sum() == 0
    assert ours[-1].sum() > 1000


def test_the_wrong_step_is_another_network(hard, pictures):
    graph = to_nir(hard)
    ours = simulators.run(graph, pictures, T)
    assert simulators.differing(ours, simulators.run(graph, pictures, T, "norse", dt=1e-3)) > 10_000
    milliseconds = to_nir(hard, dt=1e-3)  # snnTorch always takes 1e-4
    assert same(from_nir(milliseconds), hard)
    assert simulators.differing(ours, simulators.run(milliseconds, pictures, T, "norse")) == 0
    assert simulators.differing(ours, simulators.run(milliseconds, pictures, T, "snntorch")) > 10_000


def test_a_soft_reset_is_refused_and_a_note_reaches_only_us(soft, pictures, tmp_path):
    with pytest.raises(
        ValueError, match=r"layer 0: reset = 'subtract'; NIR's LIF node can only reset to a val"
    ):
        to_nir(soft)
    graph = to_nir(soft, note_reset=True)
    assert same(from_nir(graph), soft)
    nir.write(tmp_path / "soft.nir", graph)
    assert same(from_nir(tmp_path / "soft.nir"), soft)
    ours = simulators.run(graph, pictures, T)
    snntorch, norse = (simulators.run(graph, pictures, T, by) for by in ("snntorch", "norse"))
    assert simulators.differing(ours, snntorch) > 10_000
    assert simulators.differing(snntorch, norse) == 0  # both reset to zero
    plain = to_nir([layer._replace(reset="zero") for layer in soft])
    assert simulators.differing(snntorch, simulators.run(plain, pictures, T)) == 0


def test_snntorchs_own_export_drops_the_soft_reset():
    import snntorch
    from snntorch.export_nir import export_to_nir

    each = {"beta": torch.full((10,), 0.9), "threshold": torch.ones(10), "init_hidden": True}
    torch.manual_seed(0)
    matrix = torch.nn.Linear(64, 10)
    graphs = []
    for reset in ("subtract", "zero"):
        network = torch.nn.Sequential(matrix, snntorch.Leaky(**each, reset_mechanism=reset))
        graphs.append(export_to_nir(network, torch.zeros(64)))
    cells = [next(n for n in graph.nodes.values() if isinstance(n, nir.LIF)) for graph in graphs]
    for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        assert np.array_equal(getattr(cells[0], name), getattr(cells[1], name))
    (layer,) = from_nir(graphs[0], dt=DT)
    assert torch.equal(layer.W, matrix.weight.detach())
    assert np.float32(layer.beta) == np.float32(0.9)
    assert layer.reset == "zero"


def test_what_the_error_says_of_other_readers_is_so():
    from norse.torch import from_nir as norse_from_nir
    from snntorch.import_nir import _nir_to_snntorch_module

    cell = nir.IF(r=np.ones(1, np.float32), v_threshold=np.ones(1, np.float32))
    assert _nir_to_snntorch_module(cell).beta == pytest.approx(0.9)
    spikes = []
    for dt in (1e-3, 1e-4):
        network, state = norse_from_nir(nir.NIRGraph.from_list(cell), dt=dt), None
        for _ in range(4):
            out, state = network(torch.full((1, 1), 0.3), state)
            spikes.append(float(out.detach()))
    assert spikes == [0, 0, 0, 1] * 2
    layer = Layer(torch.ones(1, 1), torch.zeros(1), 1.0, 1.0, "zero")
    with pytest.raises(ValueError, match=r"layer 0: beta = 1\.0; must be below 1"):
        to_nir([layer])


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0, 1, width=32, exclude_max=True),
    st.sampled_from([1e-4, 1e-3, 0.37]),
    st.sampled_from(["weights", "r"]),
    st.integers(0, 2**31),
)
def test_any_layer_comes_back_or_is_refused(beta, dt, gain, seed):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(3, 4, generator=generator) * 10 ** float(torch.randint(-6, 6, (), generator=generator))
    layers = [Layer(W, torch.randn(3, generator=generator), beta, 0.7, "zero")]
    try:
        graph = to_nir(layers, dt, gain)
    except ValueError as error:
        assert beta < 0.75
        nearest = float(re.search(r"the nearest is (.*)$", str(error)).group(1))
        assert abs(nearest - beta) < 2**-23
        assert same(
            from_nir(to_nir([layers[0]._replace(beta=nearest)], dt, gain)), [layers[0]._replace(beta=nearest)]
        )
    else:
        assert same(from_nir(graph), layers)


def broken(hard, **changes) -> nir.NIRGraph:
    """A graph whose first cell has other fields."""
    graph = to_nir(hard)
    for name, value in changes.items():
        setattr(graph.nodes["lif0"], name, value)
    return graph


def test_graphs_that_we_cannot_say_are_refused_by_name(hard, tmp_path):
    uneven = np.ones(128, np.float32)
    uneven[3] = 2
    cases = {
        "node 'lif0': v_leak = 1.0; must be 0": broken(hard, v_leak=np.ones(128)),
        "node 'lif0': v_reset = 1.0; must be 0": broken(hard, v_reset=np.ones(128)),
        "node 'lif0': v_threshold has 2 values": broken(hard, v_threshold=uneven),
        "node 'lif0': reset 'half'": broken(hard, metadata={NOTE: "half"}),
    }
    cell = to_nir(hard).nodes["lif0"]
    cases["are no pairs"] = nir.NIRGraph.from_list(cell)
    cases["node 'lif' is LIF; must be Affine"] = nir.NIRGraph.from_list(cell, cell)
    two = nir.Linear(np.ones((4, 4))), nir.Scale(np.ones(4))
    cases["node 'scale' is Scale; must be LIF"] = nir.NIRGraph.from_list(*two)
    for words, graph in cases.items():
        with pytest.raises(ValueError, match=re.escape(words)):
            from_nir(graph, dt=DT)
    branched = to_nir(hard)
    branched.edges.append(("lif0", "output"))
    with pytest.raises(ValueError, match="must be a chain"):
        from_nir(branched)
    with pytest.raises(ValueError, match="dt is not in the graph's metadata"):
        from_nir(nir.NIRGraph.from_list(*list(to_nir(hard).nodes.values())[1:-1]))
    nir_block.write(tmp_path / "block.nir", nir_block.to_nir(network()))
    with pytest.raises(ValueError, match="not a graph of NIR's own nodes"):
        from_nir(tmp_path / "block.nir")


def test_bad_arguments_are_refused_by_name(hard, pictures):
    first, second = hard
    bad = first.W.clone()
    bad[0, 0] = torch.nan
    for layers, words in {
        (): "layers is empty",
        (second, first): "layer 1: takes 64 inputs; layer 0 has 10",
        (first._replace(W=bad),): "layer 0: W or b holds NaN",
        (first._replace(W=first.W.double()),): "float32",
        (first._replace(beta=1.5),): "beta = 1.5",
        (first._replace(theta=0.0),): "theta = 0.0",
        (first._replace(reset="soft"),): "reset = 'soft'",
        (first._replace(reset="none"),): "reset = 'none'",
    }.items():
        with pytest.raises(ValueError, match=re.escape(words)):
            to_nir(layers)
    for more, words in (
        ({"dt": 0.0}, "dt = 0.0"),
        ({"dt": float("nan")}, "dt = nan"),
        ({"gain": "x"}, "gain = 'x'"),
    ):
        with pytest.raises(ValueError, match=words):
            to_nir(hard, **more)
    graph = to_nir(hard)
    for arguments, words in (
        ((pictures, T, "brian"), "by = 'brian'"),
        ((pictures, 0), "T = 0"),
        ((pictures[:, :3], T), r"the graph takes \(B, 64\)"),
    ):
        with pytest.raises(ValueError, match=words):
            simulators.run(graph, *arguments)
    with pytest.raises(ValueError, match="rounds = -1"):
        train(rounds=-1)


def test_training_repeats_itself_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert same(train(rounds=1), train(rounds=1))
    assert torch.equal(before, torch.get_rng_state())


def network(seed: int = 0, bits: int = 4) -> Spiking:
    """Random whole numbers in every place of a small spiking network."""
    generator = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randint(low, high + 1, shape, generator=generator).float()

    p = {}
    for name, shape in shapes(CONFIG).items():
        low, high = (-127, 127) if name.endswith(".W") else (-300, 300)
        if name.endswith((".theta", ".K")):
            low, high = (100, 1500) if name.endswith("theta") else (600, 3000)
        p[name] = whole(low, high, shape)
        if name.endswith(".unit"):
            p[name] = 2 ** whole(0, 3, shape)
    for i in range(CONFIG.layers):
        p[f"{i}.attention.theta"] = whole(5, 30, (CONFIG.heads,))
        p[f"{i}.attention.offset"] = whole(-20, 20, (CONFIG.heads,))
        p[f"{i}.mix.K"] = whole(30, 90, (CONFIG.width,))
    p["scale"] = torch.tensor(0.01)
    return Spiking(p, CONFIG, bits)


class Listening(IntegerRest):
    """The integer network's rule, which writes down every population's counts."""

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.heard: dict[str, torch.Tensor] = {}

    def __call__(self, name, z, theta, kind):
        self.heard[name] = super().__call__(name, z, theta, kind)
        return self.heard[name]


@pytest.mark.parametrize("bits", [2, 4])
def test_a_block_comes_back_and_its_graph_means_the_block(bits, tmp_path):
    spiking = network(3, bits)
    p, L = spiking.p, CONFIG.context
    ids = torch.randint(0, CONFIG.vocabulary, (1, L), generator=torch.Generator().manual_seed(1))
    rule, after = Listening(bits), []
    features(p, ids, CONFIG, rule, after)
    x = (p["embedding.W"][ids] * p["embedding.unit"] + p["position.W"][:L] * p["position.unit"])[0]
    for i in range(CONFIG.layers):
        nir_block.write(tmp_path / "block.nir", nir_block.to_nir(spiking, i, "halving"))
        graph = nir_block.read(tmp_path / "block.nir")
        back = nir_block.from_nir(graph)
        assert set(back) == {name for name in p if name.startswith(f"{i}.")}
        assert all(torch.equal(back[name], p[name]) for name in back)
        values = nir_block.at_rest(graph, x)
        for name in ("norm1", "query", "key", "value", "attention", "mix", "norm2", "hidden"):
            counts = rule.heard[f"{i}.{name}"][0]
            counts = counts.transpose(-3, -2).flatten(-2) if name == "mix" else counts
            counts = counts.tril() if name == "attention" else counts
            assert torch.equal(values[name], counts.double()), name
            assert len(counts.unique()) > 1, name
        assert torch.equal(values["output"], after[i][0].double())
        x = after[i][0]


def test_a_norms_threshold_grows_by_one_more_than_the_sum():
    spiking = network()
    x = torch.zeros(4, CONFIG.width)
    x[1, 0], x[2, :3], x[3] = 1, torch.tensor([1.0, -1.0, 1.0]), -1
    K = torch.full((CONFIG.width,), 2000.0)
    spiking = Spiking({**spiking.p, "0.norm1.K": K}, CONFIG)
    counts = nir_block.at_rest(nir_block.to_nir(spiking), x)["norm1"]
    assert torch.equal(counts, norm(x, K, "0.norm1", IntegerRest(4)).double())
    assert counts[1, 0] == 4  # 2^14 / (2 * 2000) + 1/2


def test_a_block_says_its_neurons_and_stops_readers_that_do_not_know_them(tmp_path):
    graph = nir_block.to_nir(network(), 1, "halving")
    hidden, norm = graph.nodes["hidden"], graph.nodes["norm1"]
    assert (hidden.S_min, hidden.S_max, norm.S_min, norm.S_max) == (0, 15, -8, 7)
    assert hidden.weights[:5].tolist() == [8, 4, 2, 1, 1]
    assert norm.weights[:5].tolist() == [4, 2, 1, 1, 1]
    assert (hidden.growth, norm.growth, graph.nodes["mix"].growth) == ("", "sum |input|", "sum counts")
    assert norm.reset == "subtract"
    assert graph.nodes["query_W"].weight.dtype == np.int8
    nir_block.write(tmp_path / "block.nir", graph)
    with pytest.raises(AssertionError):
        nir.read(tmp_path / "block.nir")
    nir_block.OWN["Other"], kept = nir_block.OWN.pop("SignedIF"), dict(nir_block.OWN)
    try:
        with pytest.raises(ValueError, match="'SignedIF', which is not known"):
            nir_block.read(tmp_path / "block.nir")
    finally:
        nir_block.OWN.pop("Other")
        nir_block.OWN["SignedIF"] = nir_block.SignedIF
    assert kept


def test_blocks_that_are_none_are_refused_by_name():
    spiking = network()
    for block in (-1, 2, True, 0.0):
        with pytest.raises(ValueError, match=f"block = {block!r}"):
            nir_block.to_nir(spiking, block)
    halves = Spiking({**spiking.p, "0.query.W": spiking.p["0.query.W"] + 0.5}, CONFIG)
    with pytest.raises(ValueError, match=r"p\[0\.query\.W\] does not fit int8"):
        nir_block.to_nir(halves)
    wide = Spiking({**spiking.p, "0.query.W": spiking.p["0.query.W"] * 2}, CONFIG)
    with pytest.raises(ValueError, match=r"p\[0\.query\.W\] does not fit int8"):
        nir_block.to_nir(wide)
    graph = nir_block.to_nir(spiking)
    del graph.nodes["up_W"]
    with pytest.raises(ValueError, match="node 'up_W' is NoneType; must be Affine"):
        nir_block.from_nir(graph)
    graph.metadata.clear()
    with pytest.raises(ValueError, match="hold no 'block'"):
        nir_block.from_nir(graph)
    with pytest.raises(ValueError, match=r"must be \(L, D\) of whole numbers"):
        nir_block.at_rest(nir_block.to_nir(spiking), torch.full((2, 12), 0.5))
    with pytest.raises(ValueError, match="theta goes down to 0"):
        nir_block.SignedIF(np.zeros(2), -8, 7, np.ones(1))
    with pytest.raises(ValueError, match="S_min = 1"):
        nir_block.SignedIF(np.ones(2), 1, 7, np.ones(1))
    with pytest.raises(ValueError, match="growth 'more'"):
        nir_block.SignedIF(np.ones(2), -8, 7, np.ones(1), growth="more")
    with pytest.raises(ValueError, match="kind = 'sum'"):
        nir_block.Product("sum", "a", "b", 3, np.zeros(3))


def test_what_a_chip_needs_is_counted_from_the_network_and_every_cell_has_a_source():
    spiking = network()
    rows = chips.needs(spiking)
    references = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    for row in rows:
        assert row.sources
        for key in row.sources:
            assert len(re.findall(rf"^@\w+{{{key},$", references, re.MULTILINE)) == 1, key
    table = chips.markdown(rows)
    assert table.count("\n") == len(rows) + 1
    # the most that x can be, by hand: every weight at its largest, all signs alike
    p = spiking.p
    x = (
        p["embedding.W"].abs().amax(0) * p["embedding.unit"]
        + p["position.W"].abs().amax(0) * p["position.unit"]
    )
    for i in range(CONFIG.layers):
        x += p[f"{i}.out.W"].abs().sum(1) * 8 * p[f"{i}.out.unit"]
        x += p[f"{i}.down.W"].abs().sum(1) * 15 * p[f"{i}.down.unit"]
    assert f"{chips.wide(float(x.max()) * 2**14)} in the norms" in table
    assert f"{chips.wide(float(max(w.abs().max() for n, w in p.items() if n.endswith('.W'))))} bits" in table
    assert [chips.wide(most) for most in (1, 127, 128, 2**23 - 1, 2**23)] == [2, 8, 9, 24, 25]
    assert f"{2 * (6 * 12 + 16 + 3 * 12) + 12} neurons" in table
    assert f"{sum(w.numel() for n, w in p.items() if n.endswith('.W')):,} weights" in table


def test_without_the_extra_the_error_names_the_command():
    code = "import sys; sys.modules['nir'] = None; import neurolab.export.nir"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install -c constraints.txt -e '.[nir]'" in done.stderr.splitlines()[-1]
    code = "import sys; sys.modules['nir'] = None; import neurolab.export.chips"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
