"""What figures and widgets are made of is right, and widgets follow the hand."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup, Tag
from torch.nn import functional as F

from tests.conftest import TINY
from uvlm_mini import search, viz
from uvlm_mini.baselines.mamba import MambaBlock
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import BOS, EOS, Vocabulary
from uvlm_mini.decoder import Decoder
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.modulation import adapt
from uvlm_mini.paths import data_path
from uvlm_mini.ssm import SelectiveSSM


def picture_of(widget: object) -> object:
    """Return the Image widget of a paint widget."""
    return widget.children[1]  # type: ignore[attr-defined]


def fields(widget: object) -> tuple:
    """Return the toggle buttons of a paint widget."""
    return widget.children[0].children[0].children  # type: ignore[attr-defined]


def tools(widget: object) -> tuple:
    """Return slider, clear button and text of a paint widget."""
    return widget.children[0].children[1].children  # type: ignore[attr-defined]


@pytest.mark.parametrize("side", [1, 4, 8, 64])
def test_cover_counts_the_units_of_the_boxes(side: int) -> None:
    """The shares of all cells together are the area of the boxes, which never overlap."""
    one = scene("val", 140)
    area = sum(thing.box**2 for thing in one.things)
    assert viz.cover(one, side).mean() == pytest.approx(area / 64**2)
    red = sum(thing.box**2 for thing in one.things if thing.color == "red")
    assert 0 < viz.cover(one, side, "red").mean() == pytest.approx(red / 64**2)


def test_cover_finds_the_place() -> None:
    """Each pixel by itself is inside of a box or not."""
    one = scene("val", 140)
    mask = viz.cover(one, 64)
    for y, x in [(0, 0), (20, 40), (30, 10), (63, 63), *((t.y, t.x) for t in one.things)]:
        inside = any(t.x <= x < t.x + t.box and t.y <= y < t.y + t.box for t in one.things)
        assert mask[y, x] == inside


def test_cover_needs_equal_cells() -> None:
    """One sentence says what would do."""
    with pytest.raises(ValueError, match="divisor of 64"):
        viz.cover(scene("val", 0), 5)


def test_painted_is_the_modulation_of_the_package() -> None:
    """Enlarge, add, H-Swish: as adapt and torch do it."""
    rng = np.random.default_rng(0)
    x, bias = rng.normal(0, 3, (64, 64)), rng.normal(0, 3, (8, 8))
    wide = adapt(torch.from_numpy(bias)[None, None], 64)[0, 0]
    np.testing.assert_allclose(viz.painted(x, bias), F.hardswish(torch.from_numpy(x) + wide), atol=1e-12)
    with pytest.raises(ValueError, match="divide"):
        viz.painted(x, bias[:5, :5])


def test_style_sets_the_palette() -> None:
    """And the size of letters that can be read in the book's column."""
    import matplotlib as mpl

    with mpl.rc_context():
        viz.style()
        assert [c["color"] for c in mpl.rcParams["axes.prop_cycle"]] == list(viz.PALETTE)
        assert min(mpl.rcParams[key] for key in ("font.size", "xtick.labelsize", "ytick.labelsize")) >= 9


def test_panels_share_their_scales() -> None:
    """Equal colours are equal values, and zero of a signed map is the middle."""
    import matplotlib.pyplot as plt

    colour, small, large = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 1.0), np.full((4, 4), 5.0)
    fig = viz.panels([[colour, small, -small], [colour, large, large]], signed=[2])
    limits = [axis.images[0].get_clim() for axis in fig.axes[:6]]
    assert limits[1] == limits[4] == (0, 5)
    assert limits[2] == limits[5] == (-5, 5)
    plt.close(fig)
    fig = viz.panels([[colour, small, small * 0]], signed=[2], top=3.0)
    assert [axis.images[0].get_clim() for axis in fig.axes[1:3]] == [(0, 3), (-1, 1)]  # a map of zeros is drawn, too
    plt.close(fig)


def test_curves_draw_what_they_are_given() -> None:
    """No two lines share a dash, and the values are on the axis."""
    import matplotlib.pyplot as plt

    x = np.array([1.0, 10.0, 100.0])
    fig = viz.curves({"a": (x, x), "b": (x, x**2)}, "x", "y", log=True)
    first, second = fig.axes[0].lines
    np.testing.assert_array_equal(second.get_ydata(), x**2)
    assert first.get_linestyle() != second.get_linestyle()
    assert fig.axes[0].get_yscale() == "log"
    plt.close(fig)


def test_paint_widget_follows_the_hand() -> None:
    """A field that is pressed takes the slider's strength and the picture changes; clear brings all back."""
    x = np.random.default_rng(0).normal(0, 3, (16, 16))
    start = np.zeros((4, 4))
    start[0, 0] = -6
    widget = viz.paint_widget(x, start)
    slider, clear, text = tools(widget)
    keys, image = fields(widget), picture_of(widget)
    assert [key.description for key in keys[:2]] == ["-6", ""]
    assert f"<b>{viz.painted(x, start).clip(0).sum():.0f}</b> with it" in text.value

    at_start = image.value  # type: ignore[attr-defined]
    slider.value = 3
    keys[5].value = True
    start[1, 1] = 3
    assert keys[5].description == "+3"
    assert image.value != at_start  # type: ignore[attr-defined]
    assert f"<b>{viz.painted(x, start).clip(0).sum():.0f}</b> with it" in text.value

    keys[5].value = False
    assert image.value == at_start  # type: ignore[attr-defined]
    clear.click()
    assert not any(key.value or key.description for key in keys)
    assert "amplify: <b>0</b>, that suppress: <b>0</b>" in text.value


def test_paint_widget_shows_a_picture() -> None:
    """A PNG of the width that the book has room for, and no figure is left open."""
    import matplotlib.pyplot as plt
    from PIL import Image

    widget = viz.paint_widget(np.ones((16, 16)), np.zeros((4, 4)))
    with Image.open(io.BytesIO(picture_of(widget).value)) as png:  # type: ignore[attr-defined]
        assert png.format == "PNG" and 600 <= png.width <= 900
    assert plt.get_fignums() == []


def test_tints_tell_alike_from_unlike() -> None:
    """Three groups of positions in twelve channels become three colours; the colours do not depend on a sign."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (3, 12))
    groups = rng.integers(0, 3, (6, 8, 8))
    maps = np.moveaxis(centres[groups], -1, 1) + rng.normal(0, 0.05, (6, 12, 8, 8))
    shown = viz.tints(maps[:2], maps).astype(int)
    assert shown.shape == (2, 8, 8, 3)
    means = np.stack([shown[groups[:2] == g].mean(0) for g in range(3)])
    for g in range(3):
        assert abs(shown[groups[:2] == g][:, :2] - means[g, :2]).max() < 25  # two axes separate three groups
        assert all(abs(means[g] - means[k]).max() > 60 for k in range(3) if k != g)
    np.testing.assert_array_equal(viz.tints(maps, maps), viz.tints(maps[:, ::-1], maps[:, ::-1]))


def test_tints_range_is_that_of_the_sample() -> None:
    """What lies outside of the sample's range is cut off, and does not change the colours of the rest."""
    rng = np.random.default_rng(1)
    sample = rng.normal(0, 1, (4, 5, 8, 8))
    maps = np.concatenate([sample[:1], sample[:1] + 100])
    np.testing.assert_array_equal(viz.tints(maps, sample)[0], viz.tints(sample[:1], sample)[0])


def test_intervals_draws_what_it_is_given() -> None:
    """Each name stands beside its own point, the first at the top, with a bar of the right width."""
    import matplotlib.pyplot as plt

    rows = {"above": (1.5, 0.25), "middle": (-0.5, 0.125), "below": (0.0, 0.5)}
    axis = viz.intervals(rows, "difference").axes[0]
    names = {label.get_text(): place for label, place in zip(axis.get_yticklabels(), axis.get_yticks(), strict=True)}
    assert names["above"] > names["middle"] > names["below"]
    points, _, (bars,) = axis.containers[0]
    drawn = dict(zip(points.get_ydata(), points.get_xdata(), strict=True))
    ends = {segment[0, 1]: tuple(segment[:, 0]) for segment in bars.get_segments()}
    for name, (value, half) in rows.items():
        assert drawn[names[name]] == value
        assert ends[names[name]] == (value - half, value + half)
    plt.close("all")


def test_core_counts_are_those_of_the_modules() -> None:
    """By formula as the paper has them, and as many as the tensors hold; a core grows with what it is made of."""
    counts = list(viz.core_counts(512, 16, 2).values())
    assert counts == [2_097_152, 1_073_152, 2_101_248, 1_165_312, 1_694_720]
    assert list(viz.core_counts(24, 4, 3).values())[3] == sum(p.numel() for p in SelectiveSSM(24, 3, 4).parameters())
    assert list(viz.core_counts(24, 4, 3).values())[4] == sum(p.numel() for p in MambaBlock(24, 3, 4).parameters())


def test_count_widget_follows_its_sliders() -> None:
    """The table tells the counts of the values that the sliders stand at, and their share of the LSTM's."""
    widget = viz.count_widget(160, 16, 2)
    (hidden, states, expand), says = widget.children[:3], widget.children[3]
    assert f"{viz.core_counts(160, 16, 2)['SSM, SelectiveSSM']:,}" in says.value
    hidden.value, states.value, expand.value = 512, 64, 4
    for count in viz.core_counts(512, 64, 4).values():
        assert f">{count:,}<" in says.value and f">{count / (8 * 512**2):.2f}<" in says.value


def test_dots_draws_every_run() -> None:
    """Each name stands beside its own runs, the first at the top, with a line at their mean; one run has no mean."""
    import matplotlib.pyplot as plt

    rows = {"above": [1.0, 2.0, 6.0], "below": [0.5, 0.5, 0.5], "alone": [4.0]}
    fig = viz.dots(rows, "score")
    axis = fig.axes[0]
    names = {label.get_text(): place for label, place in zip(axis.get_yticklabels(), axis.get_yticks(), strict=True)}
    assert names["above"] > names["below"] > names["alone"]
    for name, runs in rows.items():
        mine = [line for line in axis.lines if np.mean(line.get_ydata()) == names[name]]
        assert [list(line.get_xdata()) for line in mine if line.get_marker() == "o"] == [runs]
        means = [list(line.get_xdata()) for line in mine if line.get_marker() == "None" and line.get_xdata()[1] != 1]
        assert means == ([[np.mean(runs)] * 2] if len(runs) > 1 else [])
    plt.close(fig)


WORDS = ["a", "red", "cat", "blue", "dog"]


@pytest.fixture
def captioner() -> UVLM:
    """A small model in eval mode, with weights that make its maps differ from step to step."""
    config = replace(TINY, encoder=replace(TINY.encoder, image=64), longest=6)
    model = UVLM(config, Vocabulary(WORDS)).eval()
    torch.nn.init.normal_(model.decoder.embedding.weight)
    torch.nn.init.normal_(model.decoder.fusion.place, std=3)
    torch.nn.init.normal_(model.decoder.gcdm.point.weight, std=3)
    return model


def test_looks_follow_greedy_search(captioner: UVLM) -> None:
    """Left alone, the steps say what greedy search says."""
    picture = scene("val", 3).draw()
    steps = viz.looks(captioner, picture)
    found = search.greedy(captioner.decoder, captioner.encoder(to_tensor(picture)[None]), captioner.config.longest)[0]
    said = [step.said for step in steps if step.said != "<eos>"]
    assert " ".join(said[: captioner.config.longest]) == captioner.vocabulary.decode(found.tokens)
    assert [step.heard for step in steps] == ["<bos>", *(step.said for step in steps[:-1])]


def test_looks_show_what_gcdm_reads(captioner: UVLM) -> None:
    """Along a given caption, the maps are those that the step itself uses."""
    picture = scene("val", 3).draw()
    steps = viz.looks(captioner, picture, "a red cat")
    assert [step.said for step in steps] == ["a", "red", "cat", "<eos>"]
    decoder = captioner.decoder
    with torch.inference_mode():
        context = captioner.encode(to_tensor(picture)[None])
        state = decoder.start(context)
        for step, number in zip(steps, captioner.vocabulary.encode("a red cat"), strict=False):
            token = torch.tensor([number])
            query = state.y + decoder.ask(decoder.word(token))
            seen = decoder.look(context, state, query)[0].unflatten(0, (2, -1))[1]
            bias = torch.from_numpy(step.bias)
            gate = torch.sigmoid(context.gate + decoder.gcdm.gate_q(query))[0]
            most = (context.x[0] + bias).flatten(1).max(1)
            torch.testing.assert_close(seen, gate * (most.values - bias.max()))
            for place, share in enumerate(step.read.flat):
                assert share == pytest.approx(float((most.indices == place).double().mean()))
            _, state = decoder.step(token, context, state)
    assert not np.allclose(steps[0].bias, steps[1].bias)


def ways(branch: viz.Branch, before: tuple[viz.Branch, ...] = ()) -> list[tuple[viz.Branch, ...]]:
    """Every way from the root to a branch, the root left out."""
    found = [(*before, child) for child in branch.grown]
    return found + [way for one in found for way in ways(one[-1], one)]


def text(way: tuple[viz.Branch, ...]) -> str:
    """The words of a way, as a caption has them: without ends and unknown words."""
    return " ".join(branch.word for branch in way if branch.word not in ("", "<unk>"))


class Rest(NamedTuple):
    """Context and state of a decoder that follows a list: which beginning was said."""

    place: torch.Tensor


class Listed(Decoder):
    """A decoder that says what a list gives for each beginning, blind to the picture; elsewhere the caption ends."""

    def __init__(self, words: tuple[str, ...], listed: dict[str, dict[str, float]]) -> None:
        super().__init__(len(words), len(words), 0.0)
        self.embedding.weight = torch.nn.Parameter(torch.eye(len(words)))
        self.chances = torch.full((len(listed) + 1, len(words)), 1e-9)
        self.chances[:, EOS] = 1.0
        self.next = torch.full((len(listed) + 1, len(words)), len(listed))
        self.next[0, BOS] = 0
        for i, (beginning, chances) in enumerate(listed.items()):
            for word, chance in chances.items():
                self.chances[i, EOS], number = 1e-9, words.index(word)
                self.chances[i, number] = chance
                longer = f"{beginning} {word}".strip()
                self.next[i, number] = list(listed).index(longer) if longer in listed else len(listed)

    def prepare(self, features: torch.Tensor) -> Rest:
        return Rest(torch.zeros(len(features), dtype=torch.long))

    def start(self, context: Rest) -> Rest:
        return context

    def advance(self, token: torch.Tensor, context: Rest, state: Rest) -> tuple[torch.Tensor, Rest]:
        place = self.next[state.place, token]
        return self.chances[place].log(), Rest(place)


# A beam of two drops everything that begins with "a": five ways to go on, each less likely than both after "red".
GARDEN = {
    "": {"a": 0.6, "red": 0.4},
    "a": dict(zip([*WORDS, "<unk>"], (0.2, 0.16, 0.16, 0.16, 0.16, 0.16), strict=True)),
    "red": {"cat": 0.55, "dog": 0.45},
    "red cat": {"a": 0.28, "red": 0.26, "cat": 0.24, "blue": 0.22},
    "red dog": {"a": 0.28, "red": 0.26, "cat": 0.24, "blue": 0.22},
}
SEEDS = {0: 2, 1: 3, 2: 4, 3: 3, 4: 3, 5: 3}  # a model's seed and the width of its beam


@pytest.fixture(scope="module")
def trees() -> list[tuple[UVLM, np.ndarray, int, viz.Branch]]:
    """Beams of several widths, of random models and of the shipped one."""
    config = replace(TINY, encoder=replace(TINY.encoder, image=64), longest=6)
    picture, found = scene("val", 3).draw(), []
    for seed, width in SEEDS.items():
        torch.manual_seed(seed)
        model = UVLM(config, Vocabulary(WORDS)).eval()
        torch.nn.init.normal_(model.decoder.embedding.weight)
        found.append((model, picture, width))
    garden = UVLM(config, Vocabulary(WORDS)).eval()
    garden.decoder = Listed(garden.vocabulary.words, GARDEN).eval()  # type: ignore[assignment]
    found.append((garden, picture, 2))
    shipped = UVLM.load(data_path("uvlm_mini.safetensors"))
    found += [(shipped, scene("val", i).draw(), width) for i, width in ((3, 3), (300, 4))]
    return [(*one, viz.beam_branches(*one)) for one in found]


def test_leaves_are_what_beam_search_finds(trees: list) -> None:
    """Captions with their places: the likeliest of the branches that ended, or of the longest, where none did. The sum
    of the words' own log-probabilities is the caption's."""
    fates = set()
    for model, picture, width, root in trees:
        found = model.captions(picture, width)
        ranked = sorted((way for way in ways(root) if way[-1].rank), key=lambda way: way[-1].rank)
        assert [way[-1].rank for way in ranked] == list(range(1, len(found) + 1))
        assert [text(way) for way in ranked] == [caption for caption, _ in found]
        sums = [sum(branch.own for branch in way) for way in ranked]
        assert sums == pytest.approx([score for _, score in found], abs=1e-5)
        ends = [way for way in ways(root) if way[-1].fate in ("ended", "greedy")]
        best = sorted(ends, key=lambda way: -way[-1].log_prob)[:width]
        assert not ends or [text(way) for way in best] == [caption for caption, _ in found]
        fates |= {way[-1].fate for way in ways(root)}
    assert fates == {"kept", "ended", "dropped", "greedy"}


@torch.inference_mode()
def test_every_branch_has_the_log_probability_of_its_word(trees: list) -> None:
    """By teacher forcing, word by word; what was kept is as wide as the beam, and grows in order of likelihood."""
    for model, picture, width, root in trees:
        features = model.encoder(to_tensor(picture)[None])
        for way in ways(root):
            if way[-1].fate == "greedy":
                continue  # several words at once; its sum is tested above
            words = model.vocabulary.words
            line = [BOS, *(words.index(branch.word) if branch.word else EOS for branch in way)]
            logs = search.log_probs(model.decoder(features, torch.tensor([line[:-1]])))[0]
            expected = logs.gather(1, torch.tensor(line[1:])[:, None])[:, 0]
            assert [branch.own for branch in way] == pytest.approx(expected.tolist(), abs=1e-3)
        for depth in range(1, 40):
            row = [way for way in ways(root) if len(way) == depth]
            assert sum(way[-1].fate == "kept" for way in row) <= width
            assert sum(way[-1].fate != "greedy" for way in row) <= 2 * width
        for way in [(root,), *ways(root)]:
            scores = [child.log_prob for child in way[-1].grown if child.fate != "greedy"]
            assert scores == sorted(scores, reverse=True)


def test_words_of_the_tree_do_not_overlap(trees: list) -> None:
    """Every label has its own place, inside of the figure and as wide as the page; each branch is there once."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        viz.style()
        for *_, root in trees:
            fig = viz.beam_tree(root)
            fig.canvas.draw()
            texts = [t for t in fig.axes[0].texts if t.get_text()]
            boxes = [t.get_window_extent() for t in texts] + [fig.axes[0].get_legend().get_window_extent()]
            assert len(texts) == 2 * (len(ways(root)) + 1)
            for i, one in enumerate(boxes):
                assert one.x0 >= 0 and one.x1 <= fig.bbox.x1 and one.y0 >= 0 and one.y1 <= fig.bbox.y1
                assert not any(one.overlaps(other) for other in boxes[:i]), texts[i].get_text()
            assert fig.get_size_inches()[0] == viz.WIDTH
            assert len(fig.axes[0].lines) == len(ways(root))
            plt.close(fig)


def test_a_tree_too_wide_is_refused(captioner: UVLM) -> None:
    """One sentence says what fits."""
    with pytest.raises(ValueError, match="a beam up to 4 wide"):
        viz.beam_tree(viz.beam_branches(captioner, scene("val", 3).draw(), 6))


def test_outline_holds_the_tree(trees: list) -> None:
    """Unfolded from line to line it leads to every caption, the best one is open, and nothing that was tried is
    missing."""
    for model, picture, width, root in trees:
        page = BeautifulSoup(viz.beam_outline(root).data, "html.parser")
        found = {}
        for place in page.find_all("strong", string=re.compile("caption")):
            lines = [own(li) for li in [place.find_parent("li"), *place.find_parents("li")[1:]]]
            found[int(place.string.split()[1])] = " ".join(
                word for word in reversed(lines) if word not in ("", "<unk>")
            )
            opened = [d.has_attr("open") for d in place.find_parents("details")]
            assert all(opened) or place.string != "caption 1"
        captions = [caption for caption, _ in model.captions(picture, width)]
        assert [found[n] for n in sorted(found)] == captions
        scores = [span.string for span in page.select(".log-prob")]
        assert sorted(scores) == sorted(f"{way[-1].log_prob:.2f}".replace("-", "−") for way in ways(root))
        assert len(page.find_all("details")) == len(page.find_all("summary"))
        assert not page.find_all("script")


def own(li: Tag) -> str:
    """The word that a line of the outline stands for."""
    line = li.find("summary") or li
    return line.find(string=True, recursive=False).strip()


def test_outline_is_safe_from_its_words() -> None:
    """A word that looks like markup is a word."""
    root = viz.Branch("", 0.0, 0.0, "kept", 0, [viz.Branch("<b>&", -1.0, -1.0, "kept")])
    root.grown.append(viz.Branch("<i>", -2.0, -2.0, "dropped"))
    page = BeautifulSoup(viz.beam_outline(root).data, "html.parser")
    assert not page.find_all(["b", "i"]) and "<b>&" in page.get_text() and "<i>" in page.get_text()


def test_look_widget_follows_scene_and_step(captioner: UVLM) -> None:
    """The slider has a place for each step, the text marks the word, and the picture changes with both."""
    import matplotlib.pyplot as plt

    scenes = {"one": scene("val", 3), "other": scene("val", 4)}
    widget = viz.look_widget(captioner, scenes)
    (where, slider), says, picture = widget.children[0].children, *widget.children[1:]
    for name, of in scenes.items():
        where.value = name
        steps = viz.looks(captioner, of.draw())
        assert slider.max == len(steps)
        seen = set()
        for place in range(1, len(steps) + 1):
            slider.value = place
            seen.add(picture.value)
            assert repr(steps[place - 1].said.strip("<>")) in says.value
        assert len(seen) > 1
    assert plt.get_fignums() == []


LOG = """stage,step,epoch,rate,loss,reward,val_loss,cells,cider,seconds
pretrain,10,1,1e-3,3.5,,,0.5,,1
pretrain,20,2,1e-3,2.5,,,0.7,,2
decoder,30,1,1e-3,1.5,,1.25,,2.0,3
scst,5,1,1e-4,-0.01,3.5,1.5,,3.0,4
"""


def test_a_log_is_read_stage_by_stage(tmp_path: Path) -> None:
    """Steps are counted through; each number has a piece a stage; stage 4's loss is left out."""
    (tmp_path / "log.csv").write_text(LOG)
    log = viz.read_log(tmp_path / "log.csv")
    assert log.stages == [("pretrain", 0, 20), ("decoder", 20, 50), ("scst", 50, 55)]
    pieces = {name: [(x.tolist(), y.tolist()) for x, y in several] for name, several in log.lines.items()}
    assert pieces == {
        "loss": [([10, 20], [3.5, 2.5]), ([50], [1.5])],
        "val_loss": [([50], [1.25]), ([55], [1.5])],
        "cider": [([50], [2.0]), ([55], [3.0])],
        "reward": [([55], [3.5])],
    }
    (tmp_path / "log.csv").write_text(LOG.splitlines()[0])
    with pytest.raises(ValueError, match="no line of `uvlm train` yet"):
        viz.read_log(tmp_path / "log.csv")
    with pytest.raises(FileNotFoundError, match="There is no log"):
        viz.read_log(tmp_path / "none.csv")


def test_runs_are_drawn_side_by_side(tmp_path: Path) -> None:
    """Two columns of two panels: the logs' numbers as lines, a band for each stage with its name above."""
    import matplotlib.pyplot as plt

    (tmp_path / "log.csv").write_text(LOG)
    log = viz.read_log(tmp_path / "log.csv")
    first = viz.Log(log.stages[:1], {"loss": log.lines["loss"][:1]})
    fig = viz.training({"short": first, "long": log})
    above, below = fig.axes[:2], fig.axes[2:]
    assert [axis.get_title() for axis in above] == ["short", "long"]
    for axes, numbers in ((above, ("loss", "val_loss")), (below, ("cider", "reward"))):
        for axis, one in zip(axes, (first, log), strict=True):
            drawn = [[part.tolist() for part in line.get_data()] for line in axis.lines]
            assert drawn == [[x.tolist(), y.tolist()] for n in numbers for x, y in one.lines.get(n, [])]
            assert all(0 <= y <= axis.get_ylim()[1] for line in axis.lines for y in line.get_ydata())
            assert [(p.get_x(), p.get_x() + p.get_width()) for p in axis.patches] == [s[1:] for s in one.stages]
    assert [text.get_text() for text in above[1].texts] == ["pretrain", "decoder", "scst"]
    plt.close(fig)
