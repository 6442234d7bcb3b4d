"""What Vela says is read right, what it never sees is counted, and the networks that it gets are the real ones."""

import operator
import sys
from importlib.util import find_spec

import pytest
import torch

from benchmarks import vela as table_of
from tests.conftest import TINY
from uvlm_mini import cli
from uvlm_mini.baselines import bahdanau
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import BOS, Vocabulary
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.npu import suite, vela
from uvlm_mini.npu.vela import Compiled, Failed, Summary, operators, summaries
from uvlm_mini.paths import data_path, result

# As ethos-u-vela 5.2.0 prints a network, its figures changed; before it, what a table of operators looks like
PRINTED = """
Warning: Option --verbose-operators is deprecated and will be removed in a future release.
Network summary for out
Accelerator configuration               Ethos_U55_256
Memory mode                               Shared_Sram
Accelerator clock                                 500 MHz
Design peak SRAM bandwidth                       3.73 GB/s

Total SRAM used                                 24.53 KiB
Total Off-chip Flash used                      234.25 KiB

CPU operators = 1 (2.0%)
NPU operators = 48 (98.0%)

Average SRAM bandwidth                           2.75 GB/s

Neural network macs                            262610 MACs/batch

Info: The numbers below are internal compiler estimates.

NPU cycles                                     216832 cycles/batch
SRAM Access cycles                              96804 cycles/batch
Total cycles                                   285955 cycles/batch

Batch Inference time                 0.57 ms, 1748.53 inferences/s (batch size 1)

"""
ONE = Summary(24.53, 234.25, 285955, 262610, 48, 1)


def test_summaries_are_read() -> None:
    """One a network that was compiled, in order; a figure that is missing is an error, memory not used is none."""
    other = PRINTED.replace("24.53", "47.05").replace("285955", "218612")
    assert summaries(PRINTED + other) == [ONE, Summary(47.05, 234.25, 218612, 262610, 48, 1)]
    assert summaries("nothing was compiled\n") == []
    (without,) = summaries("".join(line for line in PRINTED.splitlines(True) if "Flash" not in line))
    assert without.flash_kib == 0
    with pytest.raises(ValueError, match=r"no line 'Total cycles.*use ethos-u-vela 5\.2"):
        summaries(PRINTED.replace("Total cycles", "All cycles"))


def test_what_stands_outside_the_delegates_is_counted() -> None:
    """By kind; fetching a part of a tuple and calling a delegate compute nothing."""
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    first = graph.call_function(operator.getitem, (x, 0))
    for target in (torch.ops.aten.mul.Tensor, torch.ops.aten.mul.Scalar, torch.ops.aten.exp.default):
        first = graph.call_function(target, (first, first))
    graph.output(first)
    assert operators(graph) == {"mul": 2, "exp": 1}


def test_shares_and_sums() -> None:
    """The NPU's share counts what the CPU does; cycles and flash add up, SRAM is the largest."""
    row = Compiled("a", 6, {"exp": 1, "where": 1}, 3, (ONE, Summary(40.0, 10.0, 45, 10, 2, 0)))
    assert (row.share, row.cycles, row.sram_kib, row.flash_kib) == (0.75, 286000, 40.0, 244.25)
    none = Compiled("b", 0, {"where": 4}, 2, ())
    assert (none.share, none.cycles, none.sram_kib, none.flash_kib) == (0.0, 0, 0.0, 0.0)
    text = vela.table([row, none, Failed("c", "c cannot be compiled, for " + "long " * 40 + "reasons.")])
    assert max(map(len, text.splitlines())) <= 88
    (line,) = [line for line in text.splitlines() if line.startswith("a ")]
    assert line.split() == ["a", "6", "2", "75.0%", "2", "286.0", "0.572", "40.0", "244.2"]
    assert "a: 1 exp, 1 where; 3 conversions" in text and "c cannot be compiled, for long" in text


@pytest.fixture(scope="module")
def tiny() -> UVLM:
    """A small model in deploy form, that has every part."""
    torch.manual_seed(0)
    return UVLM(TINY, Vocabulary([f"w{i}" for i in range(12)])).eval()


def test_the_networks_are_those_of_the_package(tiny: UVLM) -> None:
    """Each part computes what the model computes with it, on its own inputs; the model is left as it is."""
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    pictures = [to_tensor(scene("val", i).draw()) for i in range(2)]
    cases = {case.name: case for case in suite.cases(tiny, pictures)}
    assert len(cases) == 8
    for case in cases.values():
        shapes = [[part.shape for part in row] for row in case.inputs]
        assert all(row == shapes[0] and row[0][0] == 1 for row in shapes)
    with torch.no_grad():
        features = tiny.encoder(pictures[1][None])
        found = cases["OverMod, the encoder"].module(*cases["OverMod, the encoder"].inputs[1])
        torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-5)
        context = tiny.decoder.prepare(features)
        prepared = cases["AttSSM, once a picture"].module(*cases["AttSSM, once a picture"].inputs[1])
        torch.testing.assert_close(prepared, tuple(context), rtol=1e-4, atol=1e-5)
        step, looks = cases["AttSSM, a step"], cases["GCDM alone"]
        state, token = tiny.decoder.start(context), torch.tensor([BOS])
        for row, look in zip(step.inputs[suite.WORDS :], looks.inputs[suite.WORDS :], strict=True):
            torch.testing.assert_close(row, (tiny.decoder.word(token), *context, *state), rtol=1e-4, atol=1e-5)
            query = state.y + tiny.decoder.ask(tiny.decoder.word(token))
            seen = tiny.decoder.look(context, state, query)
            torch.testing.assert_close(looks.module(*look), seen, rtol=1e-4, atol=1e-5)
            logits, state = tiny.decoder.step(token, context, state)
            torch.testing.assert_close(step.module(*row), (logits, *state), rtol=1e-4, atol=1e-5)
            token = logits.argmax(-1)
    after = tiny.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_the_rivals_are_what_they_are_called(tiny: UVLM) -> None:
    """The LSTM with attention steps like its class, one LSTM like PyTorch's, attention like PyTorch's own."""
    cases = {case.name: case for case in suite.cases(tiny, [to_tensor(scene("val", 0).draw())])}
    with torch.no_grad():
        step = cases["LSTM + Bahdanau, a step"]
        word, x, keys, h, c = step.inputs[1]
        decoder = step.module.decoder
        y, state = bahdanau.BahdanauLSTM.advance(decoder, word, bahdanau.Context(x, keys), bahdanau.State(h, c))
        expected = y @ decoder.embedding.weight.T, *state
        torch.testing.assert_close(step.module(*step.inputs[1]), expected)
        attention, (row,) = cases["self-attention"].module, cases["self-attention"].inputs[0]
        q, k, v = attention.qkv(row).chunk(3, -1)
        expected = attention.out(torch.nn.functional.scaled_dot_product_attention(q, k, v))
        torch.testing.assert_close(attention(row), expected)
        lstm = cases["LSTM, a step"]
        assert torch.equal(lstm.module(*lstm.inputs[0])[0], lstm.module.cell(lstm.inputs[0][0], lstm.inputs[0][1:])[0])
        assert cases["MobileNetV2 0.35"].module(*cases["MobileNetV2 0.35"].inputs[0]).shape == (1, 1000)


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """The one sentence on standard error."""
    assert cli.main(["check", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("uvlm: ") and err.count("\n") == 1 and err.endswith(".\n"), err
    return err


def test_mistakes_are_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no file to check" in refusal([], capsys)
    assert "--compile asks Arm's compiler" in refusal(["--compile"], capsys)
    arguments = ["--target", "ethos-u55", "--compile"]
    assert "leave the ONNX file and --int8 out" in refusal(["x.onnx", *arguments], capsys)
    assert "--weights is for --compile" in refusal(["x.onnx", "--weights", "w"], capsys)
    monkeypatch.setitem(sys.modules, "ethosu", None)
    monkeypatch.setitem(sys.modules, "ethosu.vela", None)
    assert refusal(arguments, capsys, 1).endswith("is not installed; install uvlm_mini[npu].\n")
    with pytest.raises(ModuleNotFoundError, match=r"is not installed, and compiling .* install uvlm_mini\[npu\]\.$"):
        vela.need()


def test_nothing_to_calibrate_on_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="x has no inputs to calibrate on; give at least one"):
        vela.compile(torch.nn.ReLU(), (torch.zeros(1, 3),), [], "x")


def test_the_file_holds_every_network() -> None:
    """Each that is compiled, with figures that fit together, or the sentence that says why it cannot be."""
    made = result("vela")
    rows, tools = dict(made["rows"]), made["rows"]["tools"]
    del rows["tools"]
    assert tools.keys() == set(table_of.TOOLS)
    names = [case.name for case in suite.cases(UVLM.load(data_path("uvlm_mini.safetensors")),
                                               [to_tensor(scene("val", 0).draw())])]  # fmt: skip
    assert list(rows) == names
    compiled = {name: row for name, row in rows.items() if "failed" not in row}
    assert len(compiled) > 5
    assert all(row["failed"].startswith(name) for name, row in rows.items() if name not in compiled)
    for row in compiled.values():
        cpu = sum(row["cpu"].values())
        assert row["share"] == pytest.approx(row["npu"] / (row["npu"] + cpu), abs=1e-4)
        assert row["vela cpu"] == 0 and (row["parts"] > 0) == (row["cycles"] > 0) == (row["npu"] > 0)
    assert compiled["OverMod, the encoder"]["multiply-adds"] > 10 * compiled["AttSSM, a step"]["multiply-adds"]


if find_spec("executorch") and find_spec("ethosu"):  # the extra npu has an environment of its own: see README.md

    @pytest.mark.slow
    def test_a_small_network_is_compiled_again() -> None:
        """One row of the file, made again; and what is not for the NPU is left outside and counted."""
        model = UVLM.load(data_path("uvlm_mini.safetensors"))
        pictures = [to_tensor(scene("val", i).draw()) for i in range(suite.PICTURES)]
        (case,) = [case for case in suite.cases(model, pictures) if case.name == "LSTM, a step"]
        found = vela.compile(case.module, case.inputs[0], case.inputs, case.name)
        made = result("vela")["rows"][case.name]
        assert (found.npu, found.cpu, found.cycles) == (made["npu"], made["cpu"], made["cycles"])

        class Softplus(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.nn.functional.softplus(x.relu()).relu()

        row = (torch.rand(1, 8) - 0.5,)
        found = vela.compile(Softplus(), row, [row], "softplus")
        assert found.npu > 0 and sum(found.cpu.values()) > 0 and found.share < 1 and found.conversions > 2
