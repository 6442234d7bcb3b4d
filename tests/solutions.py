"""Solutions of exercises, taken from the chapters themselves, so that chapter and checker cannot drift apart."""

import ast
import json
from typing import Any

from tests.conftest import ROOT


def solution(chapter: str, name: str, **given: Any) -> Any:
    """What a chapter's cell tagged `solution` defines as `name`.

    Run before it: the chapter's imports, its cells tagged `export`, and the definitions named in `given`.

    Parameters
    ----------
    chapter : the stem of a notebook.
    name : a function or value.
    given : names that the solution takes from the chapter's body, and what they are here.
    """
    cells = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [(set(c["metadata"].get("tags", [])), "".join(c["source"])) for c in cells if c["cell_type"] == "code"]
    space: dict[str, Any] = {}
    for tags, source in code:
        lines = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(lines, []), chapter, "exec"), space)
        if "export" in tags:
            exec(compile(source, chapter, "exec"), space)
    space |= given
    for tags, source in code:
        if "solution" in tags and name in _defined(source):
            exec(compile(source, chapter, "exec"), space)
            return space[name]
    raise AssertionError(f"{chapter} has no solution {name}")


def _defined(source: str) -> set[str]:
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found
