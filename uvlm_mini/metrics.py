"""Scores of captions: agreement with what people wrote, and truth.

BLEU, METEOR, ROUGE-L, CIDEr and SPICE come from pycocoevalcap, the code behind every published table. They ask how
close a caption is to its references. Truthfulness asks another question, which only a scene with a known graph
can answer: is what the caption says so?

Captions and references are compared word by word as `vocab.tokenize` splits them, so nothing here needs Java but
METEOR and SPICE, which are Java programs themselves. Scores are fractions: published tables show them times 100.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .datasets import grammar
from .datasets.vocab import tokenize

if TYPE_CHECKING:
    from .datasets.scenes import Scene, Thing

Scores = dict[str, float]


# ----------------------------------------------------------------------------------------------------------------
# Agreement


def agreement(captions: list[str], references: list[list[str]], java: bool = True) -> tuple[Scores, list[str]]:
    """BLEU-1 to 4, METEOR, ROUGE-L, CIDEr, and SPICE where its models are.

    Parameters
    ----------
    captions : one a picture.
    references : for each picture, what people said of it.
    java : whether to try METEOR and SPICE.

    Returns
    -------
    The scores by name, and a sentence for every score that could not be had.

    Raises
    ------
    ValueError : another number of captions than of reference lists, or a picture without references.
    """
    scores, notes = agreements([(captions, references)], java)
    return scores[0], notes


def agreements(sets: list[tuple[list[str], list[list[str]]]], java: bool = True) -> tuple[list[Scores], list[str]]:
    """As `agreement`, for several sets of captions at once: METEOR takes longer to start than to score."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    notes = [] if java else ["METEOR and SPICE are left out: they were not asked for."]
    by_java: dict[str, list[float]] = {}
    for name, score in (("METEOR", meteor), ("SPICE", spice)) if java else ():
        try:
            by_java[name] = score(sets)
        except RuntimeError as reason:
            notes.append(str(reason))
    rows = []
    for i, (captions, references) in enumerate(sets):
        said, refs = _dictionaries(captions, references)
        bleu, _ = Bleu(4).compute_score(refs, said, verbose=0)
        scores = {f"BLEU-{n + 1}": float(value) for n, value in enumerate(bleu)}
        scores |= {"METEOR": by_java["METEOR"][i]} if "METEOR" in by_java else {}
        scores["ROUGE-L"] = float(Rouge().compute_score(refs, said)[0])
        scores["CIDEr"] = cider(captions, references)
        scores |= {"SPICE": by_java["SPICE"][i]} if "SPICE" in by_java else {}
        rows.append(scores)
    return rows, notes


def cider(captions: list[str], references: list[list[str]]) -> float:
    """Corpus CIDEr (CIDEr-D, as in every published table): its document frequencies are those of `references`."""
    from pycocoevalcap.cider.cider import Cider

    said, refs = _dictionaries(captions, references)
    return float(Cider().compute_score(refs, said)[0])


def meteor(sets: list[tuple[list[str], list[list[str]]]]) -> list[float]:
    """METEOR 1.5 of every set, by the program that pycocoevalcap carries. Raises RuntimeError where there is no Java.

    Its dialogue: a SCORE line is answered by statistics, an EVAL line with all statistics of a set by a score for
    each caption and one for all. All SCORE lines are sent at once, so that neither side waits for the other.
    """
    _need_java("METEOR")
    import pycocoevalcap

    lines, sizes = [], []
    for captions, references in sets:
        said, refs = _dictionaries(captions, references)
        lines += [" ||| ".join(["SCORE", *refs[i], *said[i]]) for i in said]
        sizes.append(len(said))
    command = ["java", "-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    # METEOR prints its numbers with a decimal comma where the locale has one, and then cannot read them.
    program = subprocess.Popen(
        command,
        cwd=Path(pycocoevalcap.__path__[0]) / "meteor",
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert program.stdin is not None and program.stdout is not None
    with program:

        def say(text: str) -> None:
            program.stdin.write(text)  # type: ignore[union-attr]
            program.stdin.flush()  # type: ignore[union-attr]

        writer = threading.Thread(target=say, args=("\n".join(lines) + "\n",), daemon=True)
        writer.start()
        statistics = [program.stdout.readline().strip() for _ in lines]
        writer.join()
        scores = []
        for size in sizes:
            say(" ||| ".join(["EVAL", *statistics[:size]]) + "\n")
            statistics = statistics[size:]
            answers = [program.stdout.readline().strip() for _ in range(size + 1)]
            if not answers[-1]:
                program.kill()
                _without("METEOR", "its program stopped; check that `java -version` works")
            scores.append(float(answers[-1]))
        program.kill()  # it would wait for more
    return scores


def spice(sets: list[tuple[list[str], list[list[str]]]], jar: Path | None = None) -> list[float]:
    """SPICE 1.0 of every set: mean F-score over the tuples that a parser finds in caption and references.

    Parameters
    ----------
    jar : the program; by default pycocoevalcap's, whose models (385 MB) must have been put into its lib folder.
        They are never downloaded from here.

    Raises
    ------
    RuntimeError : no Java, no models, or the program failed.
    """
    _need_java("SPICE")
    if jar is None:
        import pycocoevalcap

        home = Path(pycocoevalcap.__path__[0]) / "spice"
        jar = home / "spice-1.0.jar"
        if not list(home.glob("lib/stanford-corenlp-*-models.jar")):
            _without(
                "SPICE", "its models are not here; python -m pycocoevalcap.spice.get_stanford_models fetches 385 MB"
            )
    scores = []
    for captions, references in sets:
        said, refs = _dictionaries(captions, references)
        items = [{"image_id": i, "test": said[i][0], "refs": refs[i]} for i in said]
        with tempfile.TemporaryDirectory() as folder:
            given, found, cache = (Path(folder, name) for name in ("in.json", "out.json", "cache"))
            given.write_text(json.dumps(items))
            cache.mkdir()
            command = ["java", "-Xmx6G", "-jar", str(jar.resolve()), str(given), "-cache", str(cache)]
            command += ["-out", str(found), "-subset", "-silent"]
            done = subprocess.run(command, cwd=jar.parent, capture_output=True, text=True)
            if done.returncode != 0 or not found.exists():
                why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                _without("SPICE", f"its program failed ({why})")
            rows = json.loads(found.read_text())
        values = [float(row["scores"]["All"]["f"]) for row in rows]
        scores.append(sum(v for v in values if not math.isnan(v)) / len(values))
    return scores


def _need_java(score: str) -> None:
    if shutil.which("java") is None:
        _without(score, "there is no Java; install a Java runtime, such as default-jre-headless")


def _without(score: str, why: str) -> NoReturn:
    raise RuntimeError(f"{score} is left out: {why}.")


def _dictionaries(
    captions: list[str], references: list[list[str]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """The form that pycocoevalcap takes: words with one space between them. An empty caption becomes a word that
    no reference has, since METEOR stops at an empty line."""
    if len(captions) != len(references):
        raise ValueError(f"{len(captions)} captions were given for {len(references)} pictures; give one a picture.")
    if not all(references):
        raise ValueError(f"Picture {[bool(r) for r in references].index(False)} has no reference; leave it out.")
    said = {i: [" ".join(tokenize(c)) or "nothing"] for i, c in enumerate(captions)}
    return said, {i: [" ".join(tokenize(r)) for r in rs] for i, rs in enumerate(references)}


def on_equal_terms(
    captions: list[str], references: list[list[str]], java: bool = True
) -> tuple[Scores, Scores, list[str]]:
    """The model's scores and people's, both against the same references.

    A caption that is scored against five references has it easier than a reference that has only the four others.
    So, fold by fold, one reference of every picture is left out, and both the caption and the left-out reference
    are scored against the remaining ones; the mean over the folds is returned.

    Returns
    -------
    Scores of the captions, scores of the left-out references, and sentences on scores that could not be had.
    """
    folds = min(map(len, references))
    if folds < 2:
        raise ValueError("To score people beside the model, every picture needs two references or more.")
    sets = []
    for fold in range(folds):
        rest = [refs[:fold] + refs[fold + 1 :] for refs in references]
        sets += [(captions, rest), ([refs[fold] for refs in references], rest)]
    rows, notes = agreements(sets, java)

    def mean(some: list[Scores]) -> Scores:
        return {name: sum(row[name] for row in some) / folds for name in some[0]}

    return mean(rows[::2]), mean(rows[1::2]), notes


# ----------------------------------------------------------------------------------------------------------------
# Truth


@dataclass
class Truth:
    """What one caption claims of one scene, and how much of it is so.

    claimed, true : by category (objects, colours, sizes, counts, relations, background).
    named, present : groups of the scene that the caption names with their colour, and all of them.
    things_right : every group is named with its colour and number, and no other.
    right : things_right, and nothing else that is false or stray is said.
    """

    claimed: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)
    named: int = 0
    present: int = 0
    things_right: bool = False
    right: bool = False

    def add(self, category: str, is_so: bool) -> None:
        """Count one claim."""
        self.claimed[category] += 1
        self.true[category] += is_so


def truth(caption: str, scene: Scene) -> Truth:
    """Check a caption against the graph of its scene.

    A colour, size or count is only judged where the object itself is there; a group counts as true when the scene
    has just as many things of that kind and colour.
    """
    reading = grammar.read(caption)
    result = Truth(present=len(scene.groups))
    said: Counter[tuple[str, str | None]] = Counter()
    for claim in reading.groups:
        said[claim.kind, claim.color] += claim.count
    for claim in reading.groups:
        things = [t for t in scene.things if t.kind == claim.kind]
        result.add("objects", bool(things))
        if not things:
            continue
        if claim.color is not None:
            things = [t for t in things if t.color == claim.color]
            result.add("colours", bool(things))
        if not things:
            continue
        total = said[claim.kind, claim.color]
        result.add("counts", total == len(things) if claim.color else total <= len(things))
        if claim.size is not None:
            result.add("sizes", any(t.size == claim.size for t in things))
    for i, how, j in reading.relations:
        result.add("relations", _stand(scene, reading.groups[i], how, reading.groups[j]))
    for name in reading.backgrounds:
        result.add("background", name == scene.background)
    result.named = sum(key in said for key in scene.groups)
    so = {c: result.claimed[c] == result.true[c] for c in CATEGORIES}
    result.things_right = result.named == result.present and so["objects"] and so["colours"] and so["counts"]
    result.right = result.things_right and all(so.values()) and not reading.strays
    return result


def _meant(scene: Scene, claim: grammar.Claim) -> list[tuple[Thing, ...]]:
    """What a claim can mean: every choice of as many things as it names, of its kind, colour and size."""
    fits = [t for t in scene.things if t.kind == claim.kind and claim.color in (None, t.color)]
    fits = [t for t in fits if claim.size in (None, t.size)]
    return list(combinations(fits, min(claim.count, len(fits)))) if fits else []


def _stand(scene: Scene, first: grammar.Claim, how: str, second: grammar.Claim) -> bool:
    """Whether some choice of the first claim stands so to some choice of the second, thing by thing.

    A claim related to itself means that the two members of one group stand so to each other, either way round.
    """
    from .datasets.scenes import NEAR

    if first is second:
        either = {"left": ("left", "right"), "above": ("above", "below")}.get(how, ())
        return any(len(group) == 2 and group[0].stands(group[1]) in either for group in _meant(scene, first))

    def holds(s: Thing, t: Thing) -> bool:
        return s is not t and (s.gap(t) <= NEAR if how == "near" else s.stands(t) == how)

    pairs = product(_meant(scene, first), _meant(scene, second))
    return any(all(holds(s, t) for s in a for t in b) for a, b in pairs)


CATEGORIES = ("objects", "colours", "counts", "sizes", "relations", "background")


def truthfulness(captions: list[str], scenes: list[Scene]) -> Scores:
    """Truth of many captions, as fractions.

    Returns
    -------
    For every category the precision of what is claimed (NaN where nothing is); ``recall``, the share of groups
    named with their colour; ``right things``, the share of captions that name all groups with colour and number, and
    no others; ``right``, the share that say nothing else that is false either, also by the number of things
    (``right 1`` ...); ``told background``, the share of captions that name the right background;
    ``told relation``, the share that state a relation, of captions on two groups or more.
    """
    if len(captions) != len(scenes):
        raise ValueError(f"{len(captions)} captions were given for {len(scenes)} scenes; give one a scene.")
    found = [truth(c, s) for c, s in zip(captions, scenes, strict=True)]

    def share(part: float, whole: float) -> float:
        return part / whole if whole else math.nan

    scores = {c: share(sum(f.true[c] for f in found), sum(f.claimed[c] for f in found)) for c in CATEGORIES}
    scores["recall"] = share(sum(f.named for f in found), sum(f.present for f in found))
    scores["right things"] = share(sum(f.things_right for f in found), len(found))
    scores["right"] = share(sum(f.right for f in found), len(found))
    for n in sorted({len(s.things) for s in scenes}):
        some = [f.right for f, s in zip(found, scenes, strict=True) if len(s.things) == n]
        scores[f"right {n}"] = share(sum(some), len(some))
    scores["told background"] = share(sum(f.true["background"] > 0 for f in found), len(found))
    several = [f for f in found if f.present > 1]
    scores["told relation"] = share(sum(f.claimed["relations"] > 0 for f in several), len(several))
    return scores
