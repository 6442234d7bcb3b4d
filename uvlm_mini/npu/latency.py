"""How long a network takes on the STM32N657: a roofline, fitted on times that others published.

    time  =  weight bytes / beta                                 flash: every weight is read once
          +  sum over layers  max(multiply-adds / R, values / alpha or epsilon)      NPU
          +  (values * c + cycles) / clock                       processor: what the NPU does not take
          +  external bytes * sigma                              activations that do not fit the chip

Reading weights adds. That a whole network would hide it behind its arithmetic, the published rows refute; that each
layer hides it behind its own, they do not, and it fits little worse (`misfit`).

==========  ==============================================  ========================================  ==============
constant    what it is                                      fitted on                                 left over
==========  ==============================================  ========================================  ==============
beta        MB/s from the octo flash                        9 pairs of rows that differ in classes    7 of 9 pairs,
c           CPU cycles a value of the softmax, in float     alone: more bytes and a longer softmax    for both
alpha       1e9 values/s that products move                 18 rows with all activations on the chip  16 of 18 rows,
epsilon     1e9 values/s that elementwise layers move       (9 networks, most of them twice)          for both
sigma       ms for each MB of activations off the chip      4 rows of 2 networks                      3 of 4 rows
R           300 GMAC/s                                      not fitted: half the nominal 600 GOPS     -
==========  ==============================================  ========================================  ==============

The two rows of a network differ in its classifier alone, so that for alpha and epsilon 7 of 9 networks is the number to
think of. No row of the µVLM paper is among them: `fit` takes rows and does not know the paper.

What is weak. R is not found by the rows: anything from about 150 GMAC/s upward fits nearly as well (`with_rate`),
since what limits these networks is moving values. So it is the nominal rate, which no whole network reaches. alpha
and epsilon rest on our reading of what is one layer (see `nets`), and where there is much elementwise work there are
dense 3 x 3 kernels, too. beta comes out a little above the 400 MB/s that the wires carry, by less than two standard
errors. sigma is worth little: two networks that had no part in the fit have less than half and less than a quarter of
it, and which tensors went outside is published for none. All rows are of one vendor, one board and one version of its
tool, and of kernels of 3 x 3 or less: larger ones the compiler takes apart, and whoever asks must count the pieces.
Of the rows in `OTHERS`, the one with all activations on the chip is missed by more than twice the worst error of the
fitted ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from itertools import combinations, pairwise

import numpy as np

from uvlm_mini.npu.nets import Layer, efficientnet_v2, mobilenet_v1, mobilenet_v2, regnet_x002, squeezenet
from uvlm_mini.npu.operators import CHIPS

KIB_MB = 1024 / 1e6
CPU_MHZ = CHIPS["stm32n657"].facts["cpu_clock"].value
NOMINAL_GMAC_S = CHIPS["stm32n657"].facts["nominal_gops"].value / 2

# --------------------------------------------------------------------------------------------------------------------
# the published rows

SOURCE = (
    "STMicroelectronics/stm32ai-modelzoo on GitHub, image_classification/{mobilenetv1,mobilenetv2,efficientnetv2}/"
    "README.md at commit 6f10965: int8, STM32N6570-DK, ST Edge AI Core 2.0.0"
)


@dataclass(frozen=True)
class Row:
    """One published time.

    Attributes
    ----------
    network, variant : family, and its width or size.
    side : of the picture, in pixels.
    classes : 1000 for ImageNet, 101 for food-101, 2 for person or not.
    kib, external_kib : KiB of weights in flash, and of activations outside the chip.
    ms : time of one inference.
    """

    network: str
    variant: str
    side: int
    classes: int
    kib: float
    external_kib: float
    ms: float

    @property
    def name(self) -> str:
        """All but the number of classes."""
        return f"{self.network} {self.variant} at {self.side}"

    @property
    def work(self) -> Work:
        """What there is to do."""
        layers = _layers(self.network, self.variant, self.side, self.classes)
        return Work(self.kib * 1024, layers, software=self.classes, external_bytes=self.external_kib * 1024)


@cache
def _layers(network: str, variant: str, side: int, classes: int) -> tuple[Layer, ...]:
    """Layers of a published network."""
    if network in (other := {"RegNetX": regnet_x002, "SqueezeNet": squeezenet}):
        return tuple(other[network](side, classes))
    if network == "EfficientNetV2":
        return tuple(efficientnet_v2(variant, side, classes))
    build = {"MobileNet": mobilenet_v1, "MobileNetV2": mobilenet_v2}[network]
    return tuple(build(float(variant), side, classes))


# In v1's table of times all six rows say food-101; the names of the files, and the table of sizes, tell three apart.
# The person row's times say 224 pixels, its file's name and its size 128.
ROWS: tuple[Row, ...] = (
    Row("MobileNet", "0.25", 224, 101, 321.66, 0, 2.83),
    Row("MobileNet", "0.5", 224, 101, 1025.63, 0, 6.06),
    Row("MobileNet", "1.0", 224, 101, 3649.97, 0, 16.94),
    Row("MobileNet", "0.25", 224, 1000, 549.88, 0, 3.57),
    Row("MobileNet", "0.5", 224, 1000, 1478.58, 0, 7.38),
    Row("MobileNet", "1.0", 224, 1000, 4552.42, 0, 19.41),
    Row("MobileNetV2", "0.35", 128, 2, 589.45, 0, 2.99),
    Row("MobileNetV2", "0.35", 128, 101, 715.67, 0, 3.33),
    Row("MobileNetV2", "0.35", 224, 101, 730.70, 0, 6.12),
    Row("MobileNetV2", "1.0", 224, 101, 3110.05, 0, 18.08),
    Row("MobileNetV2", "0.35", 128, 1000, 1840.94, 0, 6.35),
    Row("MobileNetV2", "0.35", 224, 1000, 1855.97, 0, 9.14),
    Row("MobileNetV2", "1.0", 224, 1000, 4235.31, 0, 21.08),
    Row("MobileNetV2", "1.4", 224, 1000, 7315.69, 0, 35.34),
    Row("EfficientNetV2", "B0", 224, 101, 7553.77, 0, 54.32),
    Row("EfficientNetV2", "B1", 240, 101, 8924.78, 0, 73.89),
    Row("EfficientNetV2", "B2", 260, 101, 11212.75, 528.12, 146.01),
    Row("EfficientNetV2", "S", 384, 101, 25756.92, 6912, 842.0),
    Row("EfficientNetV2", "B0", 224, 1000, 8680.39, 0, 57.5),
    Row("EfficientNetV2", "B1", 240, 1000, 10051.7, 0, 77.25),
    Row("EfficientNetV2", "B2", 260, 1000, 12451.77, 528.12, 148.78),
    Row("EfficientNetV2", "S", 384, 1000, 26884.47, 6912, 809.73),
)

#: Of the same board, and a later tool (3.0.0; regnet_pt and squeezenet_pt of the same repository, at commit 7f3764d).
#: Never fitted: they show what the model is worth for networks of other families.
OTHERS: tuple[Row, ...] = (
    Row("RegNetX", "002", 224, 1000, 2606.72, 0, 9.96),
    Row("SqueezeNet", "1.0", 224, 1000, 1266.61, 6683.06, 121.2),
)

# --------------------------------------------------------------------------------------------------------------------
# the model


@dataclass(frozen=True)
class Work:
    """What one inference has to do.

    Attributes
    ----------
    weight_bytes : read from the flash, once.
    layers : on the NPU. Of a network whose layers are not known, its totals as one layer give a bound from below.
    software : values that the tool's own software computes in float, a softmax's for example.
    cycles : of the processor, for code written by hand: no published row tells them, so whoever asks assumes them.
    external_bytes : of activations that do not fit the chip.
    """

    weight_bytes: float
    layers: tuple[Layer, ...] = ()
    software: float = 0.0
    cycles: float = 0.0
    external_bytes: float = 0.0

    @property
    def macs(self) -> int:
        """Multiply-adds on the NPU."""
        return sum(layer.macs for layer in self.layers)


@dataclass(frozen=True)
class Constants:
    """See the table at the head of this file.

    Attributes
    ----------
    flash_mb_s : beta, million bytes a second.
    software_cycles : c, cycles of the processor a value.
    product_gv_s, element_gv_s : alpha and epsilon, 1e9 values a second.
    external_ms_mb : sigma, ms for each million bytes.
    npu_gmac_s : R, 1e9 multiply-adds a second.
    """

    flash_mb_s: float
    software_cycles: float
    product_gv_s: float
    element_gv_s: float
    external_ms_mb: float = 0.0
    npu_gmac_s: float = NOMINAL_GMAC_S


@dataclass(frozen=True)
class Prediction:
    """Milliseconds, by what takes them: reading weights, the NPU, the processor, activations off the chip."""

    flash: float
    npu: float
    cpu: float
    external: float

    @property
    def ms(self) -> float:
        """Their sum."""
        return self.flash + self.npu + self.cpu + self.external

    @property
    def bound(self) -> str:
        """What takes most."""
        return max(("flash", "npu", "cpu", "external"), key=lambda name: getattr(self, name))


def layer_ms(layer: Layer, c: Constants) -> float:
    """Time of a layer on the NPU, the reading of its weights left out."""
    moving = layer.values / (c.product_gv_s if layer.macs else c.element_gv_s)
    return max(layer.macs / c.npu_gmac_s, moving) / 1e6


def predict(work: Work, c: Constants) -> Prediction:
    """Time of one inference and what it is made of."""
    return Prediction(
        flash=work.weight_bytes / c.flash_mb_s / 1e3,
        npu=sum(layer_ms(layer, c) for layer in work.layers),
        cpu=(work.software * c.software_cycles + work.cycles) / CPU_MHZ / 1e3,
        external=work.external_bytes / 1e6 * c.external_ms_mb,
    )


def interval(works: Iterable[Work], constants: Iterable[Constants], error: float = 0.0) -> tuple[float, float]:
    """Least and greatest ms over everything that is not known.

    Parameters
    ----------
    works : one for each reading of what is not published.
    constants : those between which the rows do not decide.
    error : the model's own, relative, by which both ends are moved apart; see `left_out` and `OTHERS`.
    """
    constants = list(constants)
    times = [predict(work, c).ms for work in works for c in constants]
    return min(times) * (1 - error), max(times) * (1 + error)


# --------------------------------------------------------------------------------------------------------------------
# the fit


def nonnegative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least squares of a x = b with x >= 0: of all subsets of columns whose solution is not negative, the best.

    Parameters
    ----------
    a : (rows, columns), few columns.
    b : (rows,)
    """
    best, least = np.zeros(a.shape[1]), float(b @ b)
    for size in range(1, a.shape[1] + 1):
        for columns in combinations(range(a.shape[1]), size):
            x = np.zeros(a.shape[1])
            x[list(columns)] = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
            rest = b - a @ x
            if (x >= 0).all() and rest @ rest < least:
                best, least = x, float(rest @ rest)
    return best


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows that are neighbours in the number of classes and equal in all else, activations on the chip."""
    inside = sorted((row for row in rows if not row.external_kib), key=lambda row: (row.name, row.classes))
    return [(a, b) for a, b in pairwise(inside) if a.name == b.name]


def _more(rows: Sequence[Row], c: Constants) -> tuple[np.ndarray, np.ndarray]:
    """What each pair has more, (pairs, 2) in MB and values, and the ms that it takes more, less the NPU's part of it.

    A measured time is off by a share of itself, so a difference counts by the time of which it is one.
    """
    found = pairs(rows)
    more = np.array([[(b.kib - a.kib) * KIB_MB, b.classes - a.classes] for a, b in found])
    npu = [predict(b.work, c).npu - predict(a.work, c).npu for a, b in found]
    ms, of = np.array([b.ms - a.ms for a, b in found]) - npu, np.array([b.ms for _, b in found])
    return more / of[:, None], ms / of


def fit_flash(rows: Sequence[Row], c: Constants) -> Constants:
    """beta and c of `Constants`, from what more classes cost; `c` says what the NPU takes of it."""
    per_mb, per_value = nonnegative(*_more(rows, c))
    return replace(c, flash_mb_s=1e3 / float(per_mb), software_cycles=float(per_value) * CPU_MHZ * 1e3)


def flash_error(rows: Sequence[Row], c: Constants) -> dict[str, float]:
    """Standard errors of beta and c, from what the fitted pairs leave over."""
    a, b = _more(rows, c)
    x = np.array([1e3 / c.flash_mb_s, c.software_cycles / CPU_MHZ / 1e3])
    rest = b - a @ x
    error = np.sqrt(np.diag(np.linalg.inv(a.T @ a)) * (rest @ rest) / (len(b) - 2))
    return {"flash_mb_s": float(c.flash_mb_s * error[0] / x[0]), "software_cycles": float(error[1] * CPU_MHZ * 1e3)}


def fit_npu(rows: Sequence[Row], c: Constants) -> Constants:
    """alpha and epsilon from rows with all activations on the chip; relative errors count.

    `c` says what the rest takes, and which layers wait for multiply-adds.
    """
    a, b = [], []
    for row in rows:
        work = row.work
        known = predict(replace(work, layers=(), external_bytes=0.0), c).ms
        product = element = 0.0
        for layer in work.layers:
            if not layer.macs:
                element += layer.values / 1e6
            elif layer.macs / c.npu_gmac_s > layer.values / c.product_gv_s:
                known += layer.macs / c.npu_gmac_s / 1e6
            else:
                product += layer.values / 1e6
        a.append([product / row.ms, element / row.ms])
        b.append(1 - known / row.ms)
    x = np.maximum(nonnegative(np.array(a), np.array(b)), 1e-9)
    return replace(c, product_gv_s=1 / float(x[0]), element_gv_s=1 / float(x[1]))


def fit(rows: Sequence[Row] = ROWS, npu_gmac_s: float = NOMINAL_GMAC_S) -> Constants:
    """All constants, each from the rows that tell it apart, in turns until they stay.

    Parameters
    ----------
    rows : at least one pair of `pairs`, and two networks with all activations on the chip.
    npu_gmac_s : R, which is given.

    Raises
    ------
    ValueError : too few rows.
    """
    inside = [row for row in rows if not row.external_kib]
    if len(pairs(rows)) < 2 or len({row.name for row in inside}) < 2:
        raise ValueError(
            f"{len(rows)} rows with {len(pairs(rows))} pairs do not tell the constants apart; give rows with at least "
            "two pairs and two networks whose activations are on the chip."
        )
    c = Constants(400.0, 0.0, 1.0, 1.0, 0.0, npu_gmac_s)  # where the turns begin
    for _ in range(100):
        before, c = c, fit_npu(inside, fit_flash(rows, c))
        if np.allclose(astuple(c), astuple(before), rtol=1e-10, atol=0.0):
            break
    outside = [row for row in rows if row.external_kib]
    if not outside:
        return c
    mb = np.array([[row.external_kib * KIB_MB / row.ms] for row in outside])
    rest = np.array([1 - predict(row.work, c).ms / row.ms for row in outside])
    return replace(c, external_ms_mb=float(nonnegative(mb, rest)[0]))


def errors(rows: Sequence[Row], c: Constants) -> dict[str, float]:
    """Relative error of every row: predicted over published, less one."""
    return {f"{row.name}, {row.classes} classes": predict(row.work, c).ms / row.ms - 1 for row in rows}


def left_out(rows: Sequence[Row], key: Callable[[Row], str] = lambda row: row.name) -> dict[str, float]:
    """The same, of rows whose network had no part in the fit: a network's rows are left out together.

    Parameters
    ----------
    rows : published times.
    key : what is left out together; ``lambda row: row.network`` leaves out whole families.
    """
    found: dict[str, float] = {}
    for name in dict.fromkeys(key(row) for row in rows):
        c = fit([row for row in rows if key(row) != name])
        found |= errors([row for row in rows if key(row) == name], c)
    return found


def rms(values: Iterable[float]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(list(values)))))


def on_chip(rows: Sequence[Row] = ROWS) -> list[Row]:
    """Rows with all activations on the chip."""
    return [row for row in rows if not row.external_kib]


def with_rate(rates: Iterable[float], rows: Sequence[Row] = ROWS) -> dict[float, tuple[Constants, float]]:
    """For each R in GMAC/s all other constants fitted anew, and the rms error on the chip that is left."""
    made = {rate: fit(rows, rate) for rate in rates}
    return {rate: (c, rms(errors(on_chip(rows), c).values())) for rate, c in made.items()}


def misfit(rows: Sequence[Row], c: Constants) -> dict[str, float]:
    """Rms error on the chip of three ways in which reading weights and computing could meet.

    They add; each layer hides the shorter of both (its share of the bytes being its share of the weights); the whole
    network hides the shorter, which is the usual roofline. For each alpha and epsilon are searched anew, on a grid.
    """
    found = {"add": np.inf, "hide in each layer": np.inf, "hide as a whole": np.inf}
    nets = []
    for row in on_chip(rows):
        work = row.work
        macs, values, weights = np.array([(x.macs, x.values, x.weights) for x in work.layers]).T  # (layers,) each
        p = predict(work, c)
        nets.append((macs, values / 1e6, p.flash * weights / weights.sum(), p.cpu, row.ms))
    for alpha in np.geomspace(0.8, 3.2, 29):
        for epsilon in np.geomspace(0.6, 2.4, 29):
            times = []
            for macs, values, reading, cpu, ms in nets:
                busy = np.maximum(macs / c.npu_gmac_s / 1e6, values / np.where(macs > 0, alpha, epsilon))
                whole = max(reading.sum(), busy.sum())
                times.append(
                    [(t + cpu) / ms - 1 for t in (busy.sum() + reading.sum(), np.maximum(busy, reading).sum(), whole)]
                )
            for name, column in zip(found, zip(*times, strict=True), strict=True):
                found[name] = min(found[name], rms(column))
    return found


def table(rows: Sequence[Row] = ROWS, c: Constants | None = None) -> str:
    """Every row: published and predicted ms, what the prediction is made of, and its error."""
    c = c or fit(rows)
    lines = [f"{'':24}{'classes':>8}{'ms':>8}{'model':>8}{'error':>7}{'flash':>8}{'NPU':>7}{'CPU':>6}{'outside':>9}"]
    for row in rows:
        p = predict(row.work, c)
        lines.append(
            f"{row.name.replace('EfficientNet', 'EffNet'):24}{row.classes:8}{row.ms:8.2f}{p.ms:8.2f}"
            f"{p.ms / row.ms - 1:+7.0%}{p.flash:8.2f}{p.npu:7.2f}{p.cpu:6.2f}{p.external:9.1f}"
        )
    return "\n".join(lines)
