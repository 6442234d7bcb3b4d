"""The captioners to compare with: their operators are those of the modules, their figures have sources."""

import importlib
import math
import re
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import ROOT
from uvlm_mini import paper, peers
from uvlm_mini.config import AttSSMConfig
from uvlm_mini.npu.operators import WHERE, lookup
from uvlm_mini.peers import BUILT, PUBLISHED, Figure, Peer, place, verdict, verdicts

ALL = (*PUBLISHED, *BUILT)
CONFIG = AttSSMConfig(features=6, side=4, hidden=12, states=4, dt_rank=2)

# ATen names as torch.export writes them -> ONNX names. Those with a special rule stand in `onnx_of`.
NAMES = {
    "add": ["Add"],
    "amax": ["ReduceMax"],
    "avg_pool2d": ["AveragePool"],
    "cat": ["Concat"],
    "conv2d": ["Conv"],
    "div": ["Div"],
    "einsum": ["MatMul"],
    "embedding": ["Gather"],
    "exp": ["Exp"],
    "flatten": ["Reshape"],
    "hardswish": ["HardSwish"],
    "layer_norm": ["LayerNormalization"],
    "lstm_cell": ["Gemm", "Add", "Split", "Sigmoid", "Tanh", "Mul"],
    "mT": ["Transpose"],
    "matmul": ["MatMul"],
    "mean": ["ReduceMean"],
    "mul": ["Mul"],
    "reshape": ["Reshape"],
    "select": ["Gather"],
    "sigmoid": ["Sigmoid"],
    "softmax": ["Softmax"],
    "softplus": ["Softplus"],
    "split_with_sizes": ["Split"],
    "squeeze": ["Squeeze"],
    "stack": ["Unsqueeze", "Concat"],
    "sub": ["Sub"],
    "tanh": ["Tanh"],
    "transpose": ["Transpose"],
    "unbind": ["Split", "Squeeze"],
    "unflatten": ["Reshape"],
    "unsqueeze": ["Unsqueeze"],
    "upsample_nearest2d": ["Resize"],
    "view": ["Reshape"],
}
CONSTANT = {"zeros", "new_zeros"}  # they take no more than a shape from the input


class TwoWords(nn.Module):
    """From features to the logits of two words: all that a decoder ever does."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        decoder._check = lambda tokens: None  # it looks at numbers, which a graph does not have

    def forward(self, features: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        context = self.decoder.prepare(features)
        one, state = self.decoder.step(first, context, self.decoder.start(context))
        return one, self.decoder.step(second, context, state)[0]


def traced(peer: Peer) -> tuple[set[str], set[str]]:
    """Operators of a module, and those of them that break the table's constraint, from torch.export's graph."""
    module, name = peer.module.split(":")
    kind = getattr(importlib.import_module(module), name)
    features = torch.randn(1, CONFIG.features, CONFIG.side, CONFIG.side)
    inputs = features, torch.tensor([4]), torch.tensor([5])
    exported = torch.export.export(TwoWords(kind(CONFIG, 12)).eval(), inputs)
    computed = set(exported.graph_signature.user_inputs)  # nodes that hang on the input; all others are constants
    ops: set[str] = set()
    unmet: set[str] = set()
    for node in exported.graph.nodes:
        if node.op != "call_function" or not any(n.name in computed for n in node.all_input_nodes):
            continue
        at = str(node.target).removeprefix("aten.").split(".")[0]
        if at in CONSTANT:
            continue
        computed.add(node.name)
        if at != "dropout" and "getitem" not in at:  # of these nothing is left when the network runs
            found, broken = onnx_of(at, node, computed)
            ops |= set(found)
            unmet |= set(broken)
    return ops, unmet


def onnx_of(at: str, node: torch.fx.Node, computed: set[str]) -> tuple[list[str], list[str]]:
    """ONNX names of one node, and those whose constraint in the operator table it breaks."""

    def rank(n: torch.fx.Node) -> int:
        return n.meta["val"].ndim

    def both() -> bool:
        operands = node.args[1] if at == "einsum" else node.args[:2]
        return all(n.name in computed for n in operands)

    if at == "linear":
        assert node.args[1].name not in computed
        if rank(node.args[0]) == 2:
            return ["Gemm"], []
        return ["MatMul", "Add"] if len(node.args) > 2 and node.args[2] is not None else ["MatMul"], []
    names = NAMES[at]
    if at in ("einsum", "matmul", "conv2d"):
        return names, names if both() else []
    if at in ("mean", "amax"):
        last = sorted(d % rank(node.args[0]) for d in (node.args[1] if len(node.args) > 1 else []))
        n = rank(node.args[0])
        return names, [] if last == list(range(2, n)) else names
    if at == "div":
        return names, names if getattr(node.args[1], "name", None) in computed else []
    return names, []


@pytest.mark.parametrize("peer", BUILT, ids=lambda peer: peer.name)
def test_operators_are_those_of_the_module(peer):
    """None is missing, none is too many, and the same holds of the constraints that are not met."""
    ops, unmet = traced(peer)
    assert set(peer.operators) == ops
    assert set(peer.unmet) == unmet


def test_every_operator_has_a_row_or_is_called_unknown():
    """The table's word, as lookup gives it; a name that is not in the table is unknown, never passed over."""
    for peer in ALL:
        assert len(set(peer.operators)) == len(peer.operators) and set(peer.unmet) <= set(peer.operators)
        for op in peer.operators:
            at = place(op, op not in peer.unmet)
            assert at in WHERE
            if lookup("stm32n6", op) is None:
                assert at == "unknown" and verdict(peer)[op] == "unknown"
    assert place("NoSuchOperator") == "unknown"


def test_verdicts_are_what_the_table_says():
    """Recomputed from the rules, without the module's own function."""
    decided = {"Gemm", "MatMul", "ReduceMean", "ReduceMax", "Resize", "Div"}
    rows = verdicts()
    assert [row["name"] for row in rows] == [peer.name for peer in ALL]
    for peer, row in zip(ALL, rows, strict=True):
        expected = {}
        for op in peer.operators:
            rule = lookup("stm32n6", op)
            if rule is None or (op in peer.unmet and rule.where != "conditional"):
                expected[op] = "unknown"
            elif op in peer.unmet:
                expected[op] = "sw"
            elif rule.where not in ("hw", "folded") and not (rule.where == "conditional" and op in decided):
                expected[op] = rule.where
        assert row["outside"] == expected == verdict(peer)
        assert row["means"] == {at: WHERE[at] for at in expected.values()}
        assert row["cider"] == peer.cider.value and row["built"] == bool(peer.module)


def test_a_change_of_the_table_changes_the_verdict(monkeypatch):
    """Nothing is typed in: were layer norm on the NPU, no verdict would name it."""
    named = [peer.name for peer in ALL if "LayerNormalization" in verdict(peer)]
    recurrent = {"AttSSM", "dynamic convolution"}
    assert set(named) == {"SmallCap", "I-Tuning", "LightCap", "mPLUG large", "Transformer decoder"} | recurrent
    monkeypatch.setattr(peers, "lookup", lambda target, op: lookup(target, op.replace("LayerNormalization", "Conv")))
    assert not [peer.name for peer in ALL if "LayerNormalization" in verdict(peer)]


def test_what_attention_costs():
    """Every captioner that attends needs the CPU for its products and a softmax that hangs on an option."""
    attend = [peer for peer in ALL if "Softmax" in peer.operators and peer.name != "dynamic convolution"]
    assert [p.name for p in ALL if p not in attend] == ["NIC", "dynamic convolution", "AttSSM"]
    assert all(verdict(p)["MatMul"] == "sw" and verdict(p)["Softmax"] == "conditional" for p in attend)
    by_name = {peer.name: verdict(peer) for peer in ALL}
    assert by_name["NIC"] == {"Gather": "sw", "Split": "hybrid"}
    assert by_name["dynamic convolution"]["Conv"] == "unknown"
    assert "Softmax" not in by_name["AttSSM"] and by_name["AttSSM"]["Softplus"] == "sw"


def keys() -> set[str]:
    """Entries of the book's references."""
    return set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(encoding="utf8"), re.M))


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.name)
def test_every_figure_has_a_source_or_says_what_is_missing(peer):
    """A number with a reference and a place, positive; None with a note and no reference."""
    assert peer.cite in keys() and peer.basis
    for figure in peer.figures().values():
        assert figure.where
        if figure.value is None:
            assert not figure.source
        else:
            assert figure.value > 0 and math.isfinite(figure.value) and figure.source in keys()
    assert (peer.parameters_m.value is None) == (peer.counted == "")
    assert peer.counted in ("", "all", "trained")
    assert peer.optimised is not None or peer.note
    assert bool(peer.module) == (peer in BUILT)


def test_figures_agree_with_the_paper_s_table():
    """Where both tables have a figure it is the same one; the one difference is known and stated."""
    ours = {"SmallCap": "SmallCap", "RFNet": "RFNet", "Up-Down": "Up-Down", "NIC": "NIC", "AttSSM": "µVLM-b"}
    by_name = {peer.name: peer.figures() for peer in ALL}
    rows = {row.model: row for row in paper.COMPARISON}
    differ = {
        (name, what)
        for name, model in ours.items()
        for what in ("size_mb", "bleu4", "meteor", "spice", "cider")
        if getattr(rows[model], what) not in (None, by_name[name][what].value)
    }
    assert differ == {("RFNet", "spice")} and "21.1" in by_name["RFNet"]["spice"].where
    assert rows["RFNet"].spice == 21.1
    assert by_name["LSTM + Bahdanau"]["size_mb"].value == paper.DEPLOYMENT["lstm"].size_mb
    assert by_name["dynamic convolution"]["cider"].value == paper.ABLATION[0].score


def test_scores_that_the_paper_leaves_out_complete_its_shifted_rows():
    """SmallCap, RFNet and Up-Down have no BLEU-4 in Table 1; the one found elsewhere exceeds their METEOR, as usual."""
    for name in ("SmallCap", "RFNet", "Up-Down"):
        figures = next(peer for peer in ALL if peer.name == name).figures()
        assert figures["bleu4"].value > figures["meteor"].value > figures["spice"].value


def test_a_size_is_told_with_its_unit():
    """MB where they are known, else parameters and which of them are counted, else nothing."""
    told = {row["name"]: (row["size"], row["size_source"], row["source"]) for row in verdicts()}
    assert told["SmallCap"][0] == "872 MB" and told["SmallCap"][1].startswith("chen2026uvlm: as cited by")
    assert told["LightCap"][0] == "40M parameters, all" and told["LightCap"][2] == "wang2023lightcap: abstract"
    assert told["I-Tuning"][0] is None and told["I-Tuning"][1].startswith("not found")
    assert isinstance(BUILT[0].cider, Figure) and told["Transformer decoder"][2].startswith("a small decoder")


def test_the_data_need_the_standard_library_alone():
    """As those of the paper and of the operators do."""
    code = (
        "import sys, types\n"
        "sys.modules['uvlm_mini'] = p = types.ModuleType('uvlm_mini'); p.__path__ = sys.argv[1:]\n"
        "import uvlm_mini.peers as peers\n"
        "print(len(peers.verdicts()), [m for m in ('numpy', 'torch', 'matplotlib') if m in sys.modules])"
    )
    package = peers.__file__.rsplit("peers", 1)[0]
    done = subprocess.run([sys.executable, "-c", code, package], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{len(ALL)} []"
