"""What the paper's training recipe costs: floating-point operations of every stage, and the GPU hours they make.

python -m benchmarks.paper_cost             about two minutes; writes the tables of book/scale.md, too

A counter sees every product and convolution of the real modules, forward and backward, at 224 pixels, on tensors that
have a shape and no content; stage 4 is run for real, on a few pictures. A multiply-add counts twice. What goes element
by element is not counted, nor is what else a GPU waits for: the share of its peak that is reached says that.

Captions are as long as they may be, which is how training computes them (padding included), and more than stage 4
draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from benchmarks import record
from uvlm_mini.config import PRESETS, UVLMConfig
from uvlm_mini.datasets.vocab import Vocabulary
from uvlm_mini.encoder import Classifier
from uvlm_mini.model import UVLM
from uvlm_mini.train.features import size
from uvlm_mini.train.pretrain import PretrainRecipe
from uvlm_mini.train.scst import scst_loss
from uvlm_mini.train.stages import PAPER, SceneHeads, Stage, loss_of

SOURCES = [
    "benchmarks/paper_cost.py",
    "uvlm_mini/config.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/reparam.py",
    "uvlm_mini/ssm.py",
    "uvlm_mini/train/pretrain.py",
    "uvlm_mini/train/scst.py",
    "uvlm_mini/train/stages.py",
]
PAGE = "book/scale.md"
NAMES = ("t", "s", "b")
IMAGENET, IMAGENET_VAL = 1_281_167, 50_000  # pictures of ImageNet-1K
COCO, COCO_VAL = 113_287, 5_000  # of Karpathy's split
WORDS = 10_010  # that occur five times there, as Anderson et al. count them
PEAK = 312e12  # operations a second of an A100 in bfloat16, by NVIDIA's data sheet
REACHED = (0.20, 0.02)  # shares of the peak, ours: what is good for networks of depthwise kernels, and what is poor
BATCH = 2  # pictures that are counted at once: batch-norm wants more than one


def backward_flops(grad: Any, x: Any, w: Any, *rest: Any, **more: Any) -> int:
    """Of a convolution's backward pass: as many as its forward pass, for each of the gradients that are asked for.

    PyTorch's own formula counts a grouped convolution's gradient as often as it has groups.
    """
    mask = rest[7]
    return conv_flop_count(x, w, grad) * (int(mask[0]) + int(mask[1]))


def flops(do: Callable[[], Any]) -> int:
    """Floating-point operations of the products and convolutions that a call makes."""
    with FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: backward_flops}
    ) as counter:
        do()
    return counter.get_total_flops()


def kept_bytes(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass in float32 keeps for the backward pass, the model's weights left out."""
    kept: dict[int, Tensor] = {}
    weights = {p.untyped_storage()._cdata for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in weights:
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def captioner(config: UVLMConfig, device: str) -> UVLM:
    """A model with COCO's vocabulary, on a device; on "meta" it has shapes alone."""
    torch.manual_seed(0)
    words = [f"w{i}" for i in range(WORDS)]
    with torch.device(device):
        return UVLM(config, Vocabulary(words))


def learning(config: UVLMConfig, stage: Stage) -> tuple[int, int]:
    """Operations, and bytes kept, of learning from a picture in stage decoder or together."""
    model = captioner(config, "meta").train()
    encoder = config.encoder
    batch = {
        "pictures": torch.empty(BATCH, 3, encoder.image, encoder.image, device="meta"),
        "features": torch.empty(BATCH, encoder.out, encoder.side, encoder.side, device="meta"),
        "tokens": torch.zeros(BATCH * stage.captions, config.longest + 2, dtype=torch.long, device="meta"),
    }
    heads = SceneHeads(encoder.out, encoder.widths[3])

    def loss() -> Tensor:
        return loss_of(stage, model, heads, batch)

    return flops(lambda: loss().backward()) // BATCH, kept_bytes(model, loss) // BATCH


def drawing(config: UVLMConfig, stage: Stage) -> int:
    """Operations of a picture in stage 4: its captions are drawn, then learned from."""
    model = captioner(config, "cpu").eval()
    encoder, drawn = config.encoder, []
    features = torch.randn(1, encoder.out, encoder.side, encoder.side)

    def reward(captions: list[list[int]], rows: list[int]) -> list[float]:
        drawn.extend(captions)
        return [float(i) for i in range(len(captions))]

    def step() -> None:
        dice = torch.Generator().manual_seed(0)
        scst_loss(model.decoder, features, [0], reward, stage.samples, config.longest, dice)[0].backward()

    found = flops(step)
    assert [len(caption) for caption in drawn] == [config.longest] * stage.samples  # none ends by itself: the longest
    return found


def counted(config: UVLMConfig) -> dict[str, int]:
    """Operations a picture, and sizes, of one preset."""
    side = config.encoder.image
    with torch.device("meta"):
        classifier, pictures = Classifier(config.encoder).train(), torch.empty(BATCH, 3, side, side)
        features = torch.empty(BATCH, config.encoder.out, config.encoder.side, config.encoder.side)
        tokens = torch.zeros(BATCH, config.longest + 1, dtype=torch.long)
    model = captioner(config, "meta").eval()
    stages = {stage.name: stage for stage in PAPER}

    def loss() -> Tensor:
        logits, auxiliary = classifier(pictures)
        return logits.sum() + auxiliary.sum()

    with torch.no_grad():
        looking = flops(lambda: model.encoder(pictures)) // BATCH
        telling = flops(lambda: model.decoder(features, tokens)) // BATCH
    decoder, decoder_kept = learning(config, stages["decoder"])
    together, together_kept = learning(config, stages["together"])
    return {
        "encoder forward": looking,
        "decoder forward, a caption": telling,
        "pretrain, a picture": flops(lambda: loss().backward()) // BATCH,
        "decoder, a picture": decoder,
        "together, a picture": together,
        "scst, a picture": drawing(config, stages["scst"]),
        "kept in pretrain, bytes a picture": kept_bytes(classifier, loss) // BATCH,
        "kept in decoder, bytes a picture": decoder_kept,
        "kept in together, bytes a picture": together_kept,
        "parameters of the classifier": sum(p.numel() for p in classifier.parameters()),
        "parameters of the captioner": sum(p.numel() for p in model.parameters()),
        "features, bytes in memory": size(COCO, (config.encoder.out, config.encoder.side, config.encoder.side)),
        "features, bytes in a file": size(COCO, (config.encoder.out, config.encoder.side, config.encoder.side), 2),
    }


def totals(found: dict[str, int]) -> dict[str, int]:
    """Operations of every stage of the recipe, validation and the features of a frozen encoder with it."""
    recipe = PretrainRecipe()
    seen = recipe.epochs * (IMAGENET // recipe.batch * recipe.batch)
    looking = found["encoder forward"]
    made = {"pretrain": seen * found["pretrain, a picture"] + recipe.epochs * 2 * IMAGENET_VAL * looking}
    for stage in PAPER:
        seen = stage.epochs * (COCO // stage.batch * stage.batch)
        made[stage.name] = seen * found[f"{stage.name}, a picture"]
        # a caption that is said, and one that is read for the loss
        made[stage.name] += stage.epochs * COCO_VAL * (looking + 2 * found["decoder forward, a caption"])
        if stage.frozen:
            made[stage.name] += COCO * looking
    made["whole"] = sum(made.values())
    return made


def hours(operations: float) -> list[float]:
    """GPU hours at the best and at the poorest share of the peak."""
    return [operations / (PEAK * share) / 3600 for share in REACHED]


def measure(name: str) -> dict[str, Any]:
    """One preset."""
    found = counted(PRESETS[name])
    made = totals(found)
    return {
        "counted": found,
        "operations": made,
        "hours": {k: [round(h, 2) for h in hours(v)] for k, v in made.items()},
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def tables(rows: dict[str, Any]) -> dict[str, str]:
    """The tables of the page, by the name under which they stand there."""
    recipe = PretrainRecipe()
    epochs = {"pretrain": recipe.epochs, **{stage.name: stage.epochs for stage in PAPER}}
    said = {
        "pretrain": f"1 pretrain, {recipe.epochs} epochs of ImageNet",
        **{s.name: f"{n} {s.name}, {epochs[s.name]} epochs of COCO" for n, s in enumerate(PAPER, 2)},
        "whole": "all",
    }
    cost = ["| Stage | " + " | ".join(f"{n}, 10^15 | {n}, hours" for n in NAMES) + " |", "| :-- |" + " --: |" * 6]
    for stage, text in said.items():
        cells = []
        for name in NAMES:
            low, high = rows[name]["hours"][stage]
            cells += [_number(rows[name]["operations"][stage] / 1e15), f"{_number(low)} to {_number(high)}"]
        cost.append(f"| {text} | " + " | ".join(cells) + " |")

    def line(text: str, value: Callable[[dict[str, int]], float]) -> str:
        return f"| {text} | " + " | ".join(_number(value(rows[name]["counted"])) for name in NAMES) + " |"

    micro = recipe.micro
    together = next(stage for stage in PAPER if stage.name == "together")
    room = ["| What | t | s | b |", "| :-- | --: | --: | --: |"]
    room += [
        line("weights, gradients and moments in stage 1, MB", lambda c: 16 * c["parameters of the classifier"] / 1e6),
        line(
            f"kept in stage 1 for {micro} pictures, GB", lambda c: micro * c["kept in pretrain, bytes a picture"] / 1e9
        ),
        line(
            f"kept in stage 3 for {together.batch} pictures, GB",
            lambda c: together.batch * c["kept in together, bytes a picture"] / 1e9,
        ),
        line("features of COCO in memory, for each process, GB", lambda c: c["features, bytes in memory"] / 1e9),
        line("features of COCO in the run's folder, GB", lambda c: c["features, bytes in a file"] / 1e9),
    ]
    return {"cost": "\n".join(cost), "room": "\n".join(room)}


def page(text: str, rows: dict[str, Any]) -> str:
    """The page with the tables that these rows make, between the comments that name them."""
    for name, table in tables(rows).items():
        begin, end = f"% table {name}\n\n", f"% end of table {name}"
        before, rest = text.split(begin)
        text = f"{before}{begin}{table}\n\n{end}{rest.split(end)[1]}"
    return text


def small() -> dict[str, Any]:
    """Of preset t what is counted without content, on a model that says fewer words: the row that tests count again."""
    found, _ = learning(replace(PRESETS["t"], longest=4), PAPER[1])
    return {"together, 5 words": found}


def main() -> None:
    """Count, and write the result file and the tables of the page."""
    rows: dict[str, Any] = {name: measure(name) for name in NAMES}
    rows["small"] = small()
    note = f"a multiply-add counts twice; hours at {REACHED[0]:.0%} and {REACHED[1]:.0%} of {PEAK / 1e12:.0f} TFLOPS"
    print(record.save("paper_cost", rows, [0], SOURCES, spread=0.0, note=note))
    path = record.ROOT / PAGE
    path.write_text(page(path.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
