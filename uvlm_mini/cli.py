"""The command `uvlm`: pretrain, train, plot, caption, evaluate, export, quantize, check, deploy, scenes, doctor.

Every mistake is answered by one sentence on standard error: exit status 2 where what was given is wrong, 1 where
the work failed, 130 where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import UVLMConfig
    from .datasets.coco import CaptionSet, Sample
    from .datasets.imagenet import Report
    from .model import UVLM

WEIGHTS = "uvlm_mini.safetensors"
UNLIKE = (  # the live page says the same: scripts/build_live.py
    "{name} is unlike anything this model was trained on ({times:.1f} times the limit); its caption deserves no trust."
)
LAUNCH = """first:
  uvlm pretrain FOLDER --check

one process, on a GPU if there is one:
  uvlm pretrain FOLDER --preset t --out runs/imagenet

eight GPUs of one machine:
  accelerate launch --multi_gpu --num_processes 8 -m uvlm_mini.cli pretrain FOLDER --preset t --out runs/imagenet

two machines of eight, here the first; on the second with --machine_rank 1. Both must see FOLDER and the --out folder:
  accelerate launch --multi_gpu --num_machines 2 --num_processes 16 --machine_rank 0 --main_process_ip HOST \\
    --main_process_port 29500 -m uvlm_mini.cli pretrain FOLDER --preset t --out runs/imagenet

several processes on CPUs (accelerate launch --cpu starts one only):
  ACCELERATE_USE_CPU=1 torchrun --nproc_per_node 2 -m uvlm_mini.cli pretrain FOLDER --preset t --out runs/imagenet

The same command resumes what was stopped, on as many processes as you like. Stage 2 starts from weights.safetensors:
see uvlm train --help.
"""
PAPER = """the paper's recipe, on COCO; first, whether all is there:
  uvlm train --recipe paper --preset b --data dataset_coco.json --images train2014.zip val2014.zip --check

then, from the encoder that `uvlm pretrain --preset b` has trained; the same command resumes what was stopped:
  uvlm train --recipe paper --preset b --encoder runs/imagenet/weights.safetensors \\
    --data dataset_coco.json --images train2014.zip val2014.zip --out runs/coco

with COCO's own caption files instead of Karpathy's:
    --data captions_train2014.json captions_val2014.json \\
    --lists karpathy_train_images.txt karpathy_val_images.txt karpathy_test_images.txt

on eight GPUs of one machine, which share the pictures of a step, four at a time, in bfloat16:
  accelerate launch --multi_gpu --num_processes 8 --mixed_precision bf16 -m uvlm_mini.cli train --micro 4 \
    --recipe paper --preset b ... --out runs/coco

on two machines of eight, here the first; on the second with --machine_rank 1. Both must see the pictures and the --out
folder:
  accelerate launch --multi_gpu --num_machines 2 --num_processes 16 --machine_rank 0 --main_process_ip HOST \
    --main_process_port 29500 -m uvlm_mini.cli train --micro 2 --recipe paper --preset b ... --out runs/coco

several processes on CPUs (accelerate launch --cpu starts one only):
  ACCELERATE_USE_CPU=1 torchrun --nproc_per_node 2 -m uvlm_mini.cli train --micro 16 --out runs/mini

--micro is part of what is trained; on how many processes, and in which precision, may change when a run is resumed.
"""
Run = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except ModuleNotFoundError as error:
        print(f"uvlm: {error.name} is not installed; install uvlm_mini[{arguments.extra}].", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not ours: the work failed
            return _failed(error)
        print(f"uvlm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        if _first():
            print(f"uvlm: {str(stopped) or 'Stopped.'}", file=sys.stderr)
        return 130
    except OSError as error:
        return _failed(error)
    except FloatingPointError as error:
        print(f"uvlm: {error}", file=sys.stderr)
        return 1


def _failed(error: OSError) -> int:
    """Say what the system would not do."""
    where = f"{error.filename} cannot be used ({error.strerror}); choose another folder."
    print(f"uvlm: {where if error.filename else error.strerror or error}", file=sys.stderr)
    return 1


def _first() -> bool:
    """Whether this is the process that speaks, of those that a launcher has started."""
    return os.environ.get("RANK", "0") == "0"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uvlm", description="A captioner for microcontroller NPUs, from the ground up."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, extra: str, text: str, more: str | None = None) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        sub = commands.add_parser(name, help=text, description=text, epilog=more, formatter_class=form)
        sub.set_defaults(run=run, extra=extra)
        return sub

    p = command("caption", _caption, "run", "Caption pictures.")
    p.add_argument("pictures", nargs="+", metavar="PICTURE")
    p.add_argument("--weights", help="checkpoint to use instead of the shipped one")
    way = p.add_mutually_exclusive_group()
    way.add_argument("--beam", type=int, default=3, help="beam width (default 3)")
    way.add_argument("--sample", type=int, metavar="N", help="draw N captions of each picture by lot instead")
    p.add_argument("--temperature", type=float, help="of the draw: near 0 likely words only (default 1)")
    p.add_argument("--top-p", type=float, help="draw from the likeliest words that hold this share (default 1)")
    p.add_argument("--seed", type=int, help="of the draw (default 0)")

    p = command("evaluate", _evaluate, "train", "Score captions of a whole split, the model beside people.")
    which = p.add_mutually_exclusive_group()
    which.add_argument("--weights", help="checkpoint to use instead of the shipped one")
    which.add_argument("--onnx", metavar="FOLDER", help="score the ONNX files that `uvlm quantize` wrote there")
    p.add_argument("--float", action="store_true", help="with --onnx: those that `uvlm export` wrote there")
    p.add_argument("--split", default="test", help="train, val, test, compositional or hard (default test)")
    p.add_argument("--limit", type=int, help="take only the first pictures of the split")
    p.add_argument("--beam", type=int, default=3, help="beam width (default 3)")
    p.add_argument("--no-java", action="store_true", help="leave METEOR and SPICE out")
    p.add_argument("--results", metavar="FILE", help="write the captions as COCO's caption server takes them")
    p.set_defaults(memory=0.0)  # every picture is read once
    _data_arguments(p)

    p = command("train", _train, "train", "Train a captioner, or resume what was stopped.", PAPER)
    p.add_argument("--recipe", default="mini", help="mini (the shipped weights), class (two minutes) or paper (COCO)")
    p.add_argument("--preset", default="mini", help="t, s, b or mini (default mini)")
    p.add_argument("--encoder", metavar="WEIGHTS", help="start from the encoder that `uvlm pretrain` has trained")
    p.add_argument("--out", default="runs/mini", help="folder of checkpoint, log and weights (default runs/mini)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--limit", type=int, help="take only the first training pictures")
    p.add_argument(
        "--memory",
        type=float,
        default=4.0,
        metavar="GB",
        help="pictures that take more than this are not kept in memory but read when they are needed, and features of "
        "a frozen encoder that take more go to a float16 file in the run's folder (default 4)",
    )
    p.add_argument("--stage", default="all", help="all, or one of pretrain, decoder, together, scst (default all)")
    p.add_argument("--weights", help="start from these weights, not from random ones")
    p.add_argument("--keep", action="store_true", help="keep the weights at the end of every stage, too")
    p.add_argument("--rate", type=float, help="with --stage: its highest learning rate, instead of the recipe's")
    p.add_argument("--micro", type=int, help="pictures that a process takes at once (default: the batch of a step)")
    p.add_argument("--precision", choices=["no", "fp16", "bf16"], help="mixed precision (default: the launch line's)")
    _data_arguments(p)
    p.add_argument("--check", action="store_true", help="train nothing: count, compare with COCO, find broken files")
    p.add_argument("--decode", action="store_true", help="with --check: decode every picture, not only its header")

    p = command("plot", _plot, "book", "Draw the logs of runs of `uvlm train`, side by side.")
    p.add_argument("runs", nargs="+", metavar="RUN", help="folder that --out named")
    p.add_argument("--out", required=True, metavar="FILE", help="picture to write: .png, .svg or .pdf")

    p = command("pretrain", _pretrain, "train", "Train the encoder on ImageNet-1K (stage 1), or resume.", LAUNCH)
    p.add_argument("folder", metavar="FOLDER", help="has train/ and val/, each with one folder a class")
    p.add_argument("--preset", default="t", help="t, s, b or mini (default t)")
    p.add_argument(
        "--out", default="runs/imagenet", help="folder of checkpoint, log and weights (default runs/imagenet)"
    )
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, help="passes over the pictures (default 300)")
    p.add_argument("--batch", type=int, help="pictures a step, over all processes (default 2048)")
    p.add_argument("--micro", type=int, help="pictures that a process takes at once (default 256)")
    p.add_argument("--pixels", type=int, help="side of the pictures (default: the preset's)")
    p.add_argument("--workers", type=int, default=8, help="reading processes for each training one (default 8)")
    p.add_argument("--precision", choices=["no", "fp16", "bf16"], help="mixed precision (default: the launch line's)")
    p.add_argument("--check", action="store_true", help="train nothing: count the pictures and find broken files")
    p.add_argument("--decode", action="store_true", help="with --check: decode every picture, not only its header")

    p = command("export", _export, "quantize", "Write a captioner as two ONNX files, encoder and step of the decoder.")
    p.add_argument("--weights", help="checkpoint to use instead of the shipped one")
    p.add_argument("--out", required=True, metavar="FOLDER", help="where encoder.onnx and decoder_step.onnx go")

    p = command("quantize", _quantize, "quantize", "Write a captioner as two int8 ONNX files, calibrated together.")
    p.add_argument("--weights", help="checkpoint to use instead of the shipped one")
    p.add_argument(
        "--out", required=True, metavar="FOLDER", help="where encoder_int8.onnx and decoder_step_int8.onnx go"
    )
    p.add_argument("--pictures", type=int, default=64, metavar="N", help="of the training split to calibrate on")
    p.add_argument("--lot", type=int, default=0, help="which N pictures (default 0: the first; 1: the next; ...)")
    p.add_argument("--mode", default="cfq", help="cfq, or what chapter 8 compares it with, such as independent")
    p.add_argument("--method", help="how ranges are taken: minmax, percentile or entropy (default minmax)")
    p.set_defaults(memory=0.0)
    _data_arguments(p)

    p = command("check", _verdict, "quantize", "Say where each node of an ONNX file runs on a µNPU, and what fits.")
    p.add_argument("model", nargs="?", metavar="ONNX", help="file with fixed input shapes")
    p.add_argument("--target", default="stm32n6", help="stm32n6, ethos-u55 or max78000 (default stm32n6)")
    p.add_argument("--int8", action="store_true", help="refuse a file that is not quantized")
    p.add_argument(
        "--compile",
        action="store_true",
        help="with --target ethos-u55 and without a file: compile the captioner and what it is compared with by Arm's "
        "Vela, and show what that says (minutes; needs the extra npu)",
    )
    p.add_argument("--weights", help="with --compile: checkpoint to use instead of the shipped one")

    from .deploy.commands import arguments, deploy

    p = command("deploy", deploy, "deploy", "The captioner in C: as a file, on this computer, on an emulated chip.")
    arguments(p)

    p = command("scenes", _scenes, "run", "Write the embedded data set as PNG files and a JSON in Karpathy's format.")
    p.add_argument("out", help="folder to write into")
    p.add_argument("--splits", nargs="+", help="which splits (default all)")
    p.add_argument("--limit", type=int, help="take only the first pictures of each split")
    p.add_argument("--pixels", type=int, default=64, help="side of the pictures (default 64)")

    command("doctor", _doctor, "run", "Check what a class machine needs.")
    return parser


def _data_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--data",
        nargs="+",
        metavar="JSON",
        help="captions instead of the embedded scenes: one JSON in Karpathy's format, such as dataset_coco.json, or "
        "COCO's own files, such as captions_train2014.json captions_val2014.json, with --lists",
    )
    p.add_argument(
        "--lists",
        nargs="+",
        default=[],
        metavar="TXT",
        help="for COCO's own files: text files named as Karpathy's, karpathy_train_images.txt and likewise val and "
        "test, with one picture a line, its file's name or its id or both",
    )
    p.add_argument(
        "--images",
        nargs="+",
        metavar="PLACE",
        help="folders or zip archives of the pictures; train2014.zip may stay packed (default: where the JSON is)",
    )


def _load(weights: str | None) -> UVLM:
    from .model import UVLM
    from .paths import data_path

    return UVLM.load(weights or data_path(WEIGHTS))


def _captioned(arguments: argparse.Namespace, split: str, side: int, limit: int | None) -> CaptionSet:
    """A split of the embedded scenes, or of the file that was given."""
    from .datasets import coco, files, scenes

    if arguments.data:
        entries = coco.read_captions(arguments.data, arguments.lists).split(split)[:limit]
        images = files.Images(arguments.images or [Path(arguments.data[0]).parent])
        return coco.open_set(entries, images, side, len(entries) * 3 * side**2 > 1e9 * arguments.memory)
    if side != scenes.SIDE:
        raise ValueError(
            f"The embedded scenes are drawn at {scenes.SIDE} pixels, this model takes {side}; give --data."
        )
    if split not in scenes.SPLITS:
        raise ValueError(f"There is no split {split!r}; use one of {', '.join(scenes.SPLITS)}.")
    return coco.CaptionSet.gather(scenes.samples(split, limit))


def _caption(arguments: argparse.Namespace) -> int:
    from .pictures import read_picture

    given = {name: getattr(arguments, name) for name in ("temperature", "top_p", "seed")}
    draw = {name: value for name, value in given.items() if value is not None}
    if draw and arguments.sample is None:
        raise ValueError(f"--{next(iter(draw)).replace('_', '-')} is about a draw; say with --sample N how many.")
    model = _load(arguments.weights)
    status = 0
    for path in arguments.pictures:
        try:
            picture = read_picture(path, model.config.encoder.image)
        except (ValueError, FileNotFoundError) as error:  # the other pictures still get their captions
            print(f"uvlm: {error}", file=sys.stderr)
            status = 2
            continue
        if arguments.sample is None:
            found = model.captions(picture, arguments.beam)[:1]
        else:
            found = model.samples(picture, arguments.sample, **draw)
        name = f"{path}: " if len(arguments.pictures) > 1 else ""
        for caption, log_prob in found:
            print(f"{name}{caption}  (log-probability {log_prob:.2f})")
        strange = model.strangeness(picture)
        if strange > 1:
            print("uvlm: " + UNLIKE.format(name=path, times=strange), file=sys.stderr)
    return status


def _evaluate(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .datasets.coco import write_results
    from .evaluate import evaluate, table

    if arguments.float and not arguments.onnx:
        raise ValueError("--float says which of the ONNX files; give their folder with --onnx.")
    model = _pair(arguments.onnx, not arguments.float) if arguments.onnx else _load(arguments.weights)
    data = _captioned(arguments, arguments.split, model.config.encoder.image, arguments.limit)
    results = arguments.results and Path(arguments.results)
    if results and data.ids is None:
        raise ValueError("COCO's results file names pictures by their ids, which these lack; give COCO with --data.")
    if results and not results.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {results.parent} to write {results.name} into; make it first.")
    with tqdm(total=len(data), desc="captioning", unit="picture", file=sys.stderr) as bar:
        result = evaluate(model, data, arguments.beam, not arguments.no_java, bar.update)
    if results:
        write_results(results, data.ids or [], result.captions)
    print(f"{len(data)} pictures of {arguments.split}, beam {arguments.beam}")
    # ONNX files do not tell whether a picture is unlike what the model was trained on.
    print("\n".join(line for line in table(result).splitlines() if not (arguments.onnx and "unlike" in line)))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from .config import preset
    from .train.loop import Trainer
    from .train.pretrain import load_encoder
    from .train.stages import PAPER, PICTURES, RECIPES

    recipes = {**RECIPES, "paper": PAPER}
    if arguments.recipe not in recipes:
        raise ValueError(f"There is no recipe {arguments.recipe!r}; use one of {', '.join(recipes)}.")
    stages = recipes[arguments.recipe]
    only = None if arguments.stage == "all" else arguments.stage
    if only and only not in [stage.name for stage in stages]:
        raise ValueError(f"There is no stage {only!r}; use all, {', '.join(stage.name for stage in stages)}.")
    if arguments.rate is not None:
        if only is None:
            raise ValueError("--rate is the rate of one stage; say which with --stage.")
        stages = tuple(replace(stage, rate=arguments.rate) if stage.name == only else stage for stage in stages)
    if arguments.micro is not None:
        stages = tuple(
            replace(stage, micro=arguments.micro) if only in (None, stage.name) else stage for stage in stages
        )
    if not arguments.memory >= 0:
        raise ValueError(
            f"--memory is a number of gigabytes, 0 or more, not {arguments.memory}; give how many may be used."
        )
    config = preset(arguments.preset)
    if arguments.check:
        return _check(arguments, config)
    if arguments.encoder and arguments.weights:
        raise ValueError("--weights hold an encoder already; leave --encoder out, or start from the encoder alone.")
    if arguments.recipe == "paper" and not ((arguments.encoder or arguments.weights) and arguments.data):
        raise ValueError(
            "Recipe paper starts from an encoder that `uvlm pretrain` has trained, and learns to caption photographs; "
            "give its weights with --encoder, and the captions with --data."
        )
    encoder = load_encoder(arguments.encoder) if arguments.encoder else None
    if _first():
        print("Drawing the pictures." if not arguments.data else "Looking for the pictures.", file=sys.stderr)
    most = arguments.limit or PICTURES.get(arguments.recipe)
    train = _captioned(arguments, "train", config.encoder.image, most)
    val = _captioned(arguments, "val", config.encoder.image, 500 if arguments.recipe in RECIPES else None)
    named = "" if arguments.preset == "mini" else f" --preset {arguments.preset}"
    command = f"uvlm train --recipe {arguments.recipe}{named} --seed {arguments.seed}"
    for name, value in (("limit", arguments.limit), ("stage", only), ("weights", arguments.weights)):
        command += f" --{name} {value}" if value else ""
    for name in ("rate", "micro"):
        command += f" --{name} {getattr(arguments, name)}" if getattr(arguments, name) else ""
    trainer = Trainer(
        config, stages, train, val, arguments.out, arguments.seed,
        command=command, only=only, weights=arguments.weights, encoder=encoder, memory=arguments.memory,
        keep=arguments.keep, precision=arguments.precision,
    )  # fmt: skip
    if trainer.main and (trainer.progress.stage or trainer.progress.step):
        print(f"Resuming {trainer.checkpoint}.", file=sys.stderr)
    trainer.run()
    if trainer.main:
        print(f"Weights: {trainer.folder / 'weights.safetensors'}")
    trainer.processes.accelerator.end_training()
    return 0


def _check(arguments: argparse.Namespace, config: UVLMConfig) -> int:
    """Look at the data of a training without training."""
    from tqdm import tqdm

    from .datasets.coco_check import check

    if not arguments.data:
        raise ValueError("The embedded scenes need no check; give the captions to look at with --data.")
    places = arguments.images or [Path(arguments.data[0]).parent]
    side, numbers = config.encoder.image, config.encoder.out * config.encoder.side**2
    with tqdm(desc="reading", unit="file", file=sys.stderr) as bar:
        report = check(
            arguments.data, arguments.lists, places, side, numbers, config.longest, arguments.memory, arguments.out,
            arguments.decode, bar.update,
        )  # fmt: skip
    return _tell(report)


def _tell(report: Report) -> int:
    """Print what a check has found; returns the exit status."""
    print("\n".join(report.lines))
    for problem in report.problems[:20]:
        print(f"uvlm: {problem}", file=sys.stderr)
    if len(report.problems) > 20:
        print(f"uvlm: There are {len(report.problems) - 20} problems more.", file=sys.stderr)
    return 2 if report.problems else 0


def _plot(arguments: argparse.Namespace) -> int:
    from . import viz

    viz.style()
    out = Path(arguments.out)
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"A plot is written as .png, .svg or .pdf, not as {out.name}; give such a name to --out.")
    fig = viz.training({run: viz.read_log(Path(run, "log.csv")) for run in arguments.runs})
    dates = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    fig.savefig(out, metadata=dates[out.suffix])  # the same log gives the same file
    print(out)
    return 0


def _pretrain(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from .config import preset
    from .datasets.imagenet import check
    from .train.pretrain import Pretrainer, PretrainRecipe

    if arguments.check:
        from tqdm import tqdm

        with tqdm(desc="reading", unit="file", file=sys.stderr) as bar:
            report = check(arguments.folder, arguments.decode, bar.update)
        return _tell(report)
    config = preset(arguments.preset).encoder
    if arguments.pixels is not None:
        config = replace(config, image=arguments.pixels)
    given = {name: getattr(arguments, name) for name in ("epochs", "batch", "micro")}
    recipe = PretrainRecipe(**{name: value for name, value in given.items() if value is not None})
    command = f"uvlm pretrain --preset {arguments.preset} --seed {arguments.seed}"
    trainer = Pretrainer(
        config, recipe, arguments.folder, arguments.out, arguments.seed, arguments.workers, arguments.precision,
        command=command,
    )  # fmt: skip
    if trainer.main and trainer.progress.step:
        print(f"Resuming {trainer.checkpoint}.", file=sys.stderr)
    trainer.run()
    if trainer.main:
        print(f"Weights: {trainer.folder / 'weights.safetensors'}")
    trainer.accelerator.end_training()
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from .quantize.export import export

    for path in export(_load(arguments.weights), arguments.out):
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def _pair(folder: str, int8: bool) -> UVLM:
    """Two ONNX files in the place of a checkpoint: what captions and is scored is the same in both."""
    from typing import cast

    from .quantize.pair import Pair

    return cast("UVLM", Pair.load(folder, int8))


def _quantize(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    import numpy as np

    from .quantize.cfq import MODES, calibrate

    if arguments.mode not in MODES:
        raise ValueError(f"There is no mode {arguments.mode!r}; use one of {', '.join(MODES)}.")
    settings = MODES[arguments.mode]
    if arguments.method is not None:
        settings = replace(settings, method=arguments.method)
    n, before = arguments.pictures, arguments.pictures * arguments.lot
    if n < 1 or before < 0:
        raise ValueError(f"--pictures is 1 or more and --lot 0 or more, not {n} and {arguments.lot}.")
    model = _load(arguments.weights)
    data = _captioned(arguments, "train", model.config.encoder.image, before + n)
    pictures = np.stack(list(data.pictures[before:])) if len(data) > before else np.zeros((0, 1, 1, 3), np.uint8)

    def tell(text: str) -> None:
        print(f"{text} ...", file=sys.stderr)

    for path in calibrate(model, pictures, arguments.out, settings, tell):
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def _verdict(arguments: argparse.Namespace) -> int:
    if arguments.compile:
        return _compiled(arguments)
    if arguments.model is None:
        raise ValueError("There is no file to check; give an ONNX file, or --target ethos-u55 --compile.")
    if arguments.weights:
        raise ValueError("--weights is for --compile; an ONNX file has its own.")
    from .npu.check import check, table

    print(table(check(arguments.model, arguments.target, arguments.int8)))
    return 0


def _compiled(arguments: argparse.Namespace) -> int:
    """The vendor's compiler's verdict."""
    if arguments.target != "ethos-u55":
        raise ValueError(
            f"--compile asks Arm's compiler, which is for ethos-u55 and not for {arguments.target}; add --target "
            "ethos-u55, or leave --compile out."
        )
    if arguments.model or arguments.int8:
        raise ValueError(
            "--compile takes the captioner from its weights and quantizes it itself; leave the ONNX file and --int8 "
            "out, and name other weights with --weights."
        )
    arguments.extra = "npu"
    from .npu import suite, vela

    rows = suite.run(_load(arguments.weights), tell=lambda name: print(f"Compiling {name}.", file=sys.stderr))
    print(vela.table(rows))
    return 0


def _scenes(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .datasets import coco, scenes

    if not 16 <= arguments.pixels <= 4096:
        raise ValueError(f"Pictures have 16 to 4096 pixels a side, not {arguments.pixels}.")
    splits = arguments.splits or list(scenes.SPLITS)
    for split in splits:
        if split not in scenes.SPLITS:
            raise ValueError(f"There is no split {split!r}; use one of {', '.join(scenes.SPLITS)}.")

    Path(arguments.out).mkdir(parents=True, exist_ok=True)

    def all_samples() -> Iterator[tuple[str, Sample]]:
        for split in splits:
            total = min(arguments.limit or scenes.SPLITS[split], scenes.SPLITS[split])
            for sample in tqdm(scenes.samples(split, arguments.limit, arguments.pixels), split, total, file=sys.stderr):
                yield split, sample

    n = coco.write_karpathy(all_samples(), arguments.out)
    print(f"{n} pictures and {Path(arguments.out, 'captions.json')}")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import report

    lines, failures = report()
    print("\n".join(lines))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
