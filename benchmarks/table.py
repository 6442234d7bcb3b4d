"""Tables of many trainings: rows and seeds, run by run, stopped and resumed at any moment.

Two runs go side by side, each on one thread, so that neither waits for the other and every number depends on its seed
alone. A finished run is one line of runs/NAME.jsonl; it is not run again while the sources stay as they are. The
seconds of a run are those that its core worked: what else the machine did does not count.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from tqdm import tqdm

from benchmarks import record

WORKERS = 2
Run = Callable[[str, int], dict[str, float]]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _timed(run: Run, row: str, seed: int) -> dict[str, Any]:
    start = time.process_time()
    numbers = run(row, seed)
    return {"row": row, "seed": seed, "numbers": numbers, "seconds": round(time.process_time() - start, 1)}


def runs(name: str, run: Run, rows: list[str], seeds: list[int], sources: list[str]) -> list[dict[str, Any]]:
    """Every row with every seed: what `run(row, seed)` gave, finished runs taken from runs/NAME.jsonl.

    Parameters
    ----------
    name : of the table.
    run : a function at the outermost level of a module, since it is called in other processes.
    sources : files that the numbers depend on; runs of other versions of them are done again.
    """
    path = record.ROOT / "runs" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    version = record.source_hash(sources)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = [line for line in lines if line["sources"] == version and line["row"] in rows and line["seed"] in seeds]
    have = {(line["row"], line["seed"]) for line in done}
    todo = [(row, seed) for seed in seeds for row in rows if (row, seed) not in have]
    pool = ProcessPoolExecutor(WORKERS, get_context("spawn"), initializer=_one_thread)
    with pool, tqdm(total=len(todo) + len(done), initial=len(done), desc=name, unit="run") as bar:
        waiting = [pool.submit(_timed, run, row, seed) for row, seed in todo]
        try:
            for finished in as_completed(waiting):
                line = {**finished.result(), "sources": version}
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                done.append(line)
                bar.update()
                bar.write(f"{line['row']}, seed {line['seed']}: {line['numbers']} in {line['seconds']} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done


def summary(lines: list[dict[str, Any]], rows: list[str]) -> dict[str, Any]:
    """Of every number of every row: mean, spread (standard deviation over the seeds), and the runs by seed.

    None stands for what a run could not tell, such as the truth of relations where none was stated; a mean with one
    of them is none either.
    """
    table: dict[str, Any] = {}
    for row in rows:
        mine = sorted((line for line in lines if line["row"] == row), key=lambda line: line["seed"])
        table[row] = {}
        for key in mine[0]["numbers"]:
            values = [line["numbers"][key] for line in mine]
            known = not any(map(math.isnan, values))
            spread = statistics.stdev(values) if known and len(values) > 1 else 0.0
            table[row][key] = {
                "mean": round(statistics.mean(values), 5) if known else None,
                "spread": round(spread, 5) if known else None,
                "runs": [None if math.isnan(v) else round(v, 5) for v in values],
            }
    return table
