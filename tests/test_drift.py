"""What a chapter derives is what the package runs: the two syntax trees are equal.

A cell tagged ``export`` holds definitions. Each is looked up by its name among the definitions of uvlm_mini and must be
the same code; docstrings and comments may differ, since the chapter explains in its text.
"""

import ast

import nbformat
import pytest

from tests.conftest import ROOT

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def definitions(source: str) -> dict[str, Definition]:
    """Return the functions and classes at the outermost level of a source, by name."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, DEFINITIONS)}


def bare(definition: Definition) -> str:
    """Return the syntax tree as text, without the docstrings of the definition and of what stands in it."""
    tree = ast.parse(ast.unparse(definition))
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def package() -> dict[str, dict[str, Definition]]:
    """Return for each name the files of uvlm_mini that define it, with the definition."""
    found: dict[str, dict[str, Definition]] = {}
    for path in sorted((ROOT / "uvlm_mini").rglob("*.py")):
        for name, definition in definitions(path.read_text(encoding="utf8")).items():
            found.setdefault(name, {})[path.relative_to(ROOT).as_posix()] = definition
    return found


def drift(source: str, known: dict[str, dict[str, Definition]]) -> list[str]:
    """Return one sentence for each definition of an exported cell that the package does not hold just so."""
    wrong = [] if definitions(source) else ["the cell is tagged export and defines nothing"]
    for name, definition in definitions(source).items():
        homes = known.get(name, {})
        equal = [home for home, twin in homes.items() if bare(definition) == bare(twin)]
        if not homes or len(equal) > 1:
            wrong.append(f"{name} is defined in {', '.join(equal) or 'no file'} of the package, not in exactly one")
        elif not equal:
            wrong.append(f"{name} differs from the one in {' and '.join(homes)}")
    return wrong


def joined(sources: list[str]) -> list[str]:
    """Return the sources of a notebook's cells; a class that is derived from itself is added to where it began."""
    trees = [ast.parse(source) for source in sources]
    begun: dict[str, ast.ClassDef] = {}
    for tree in trees:
        for node in list(tree.body):
            if isinstance(node, ast.ClassDef):
                if node.name in begun and [ast.unparse(base) for base in node.bases] == [node.name]:
                    begun[node.name].body += node.body
                    tree.body.remove(node)
                else:
                    begun[node.name] = node
    return [ast.unparse(tree) for tree in trees]


def exported() -> list[tuple[str, str]]:
    """Return the cells tagged export of all notebooks: a name for the test report, and the source."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = {
            f"{path.stem}-{i}": cell.source
            for i, cell in enumerate(nbformat.read(path, as_version=4).cells)
            if cell.cell_type == "code" and "export" in cell.metadata.get("tags", [])
        }
        pairs = zip(cells, cells.values(), joined(list(cells.values())), strict=True)
        found += [(name, whole) for name, source, whole in pairs if whole or not definitions(source)]
    return found


CELLS = exported()


def test_there_is_something_to_compare() -> None:
    """Without tagged cells the test below would pass for nothing; chapters 2 to 4 derive GSM, encoder, SSM."""
    names = {name for _, source in CELLS for name in definitions(source)}
    assert {"adapt", "SignalGenerator", "GSM"} <= names
    assert {"fold", "dilate", "ConvNorm", "ResidualConv", "fuse"} <= names
    assert {"decay_logs", "discretise", "scan", "spread_steps", "SelectiveSSM"} <= names
    assert {"GCDM", "MultiScaleFusion", "AttSSM"} <= names  # chapter 5
    assert {"advantage", "policy_loss"} <= names  # chapter 6
    assert {"Found", "log_probs", "grow", "sift", "settled", "pick", "temper", "nucleus", "draw"} <= names  # chapter 7
    assert {"GRN", "ConvFFN", "ESBlock", "EDBlock", "OverNet", "ModNet", "OverMod"} <= names


@pytest.mark.parametrize(("name", "source"), CELLS, ids=[name for name, _ in CELLS])
def test_chapter_and_package_agree(name: str, source: str) -> None:
    """See drift for what is compared."""
    assert drift(source, package()) == []


def test_nothing_is_derived_twice() -> None:
    """A definition is derived in one chapter; later ones import it."""
    names = [name for _, source in CELLS for name in definitions(source)]
    assert len(names) == len(set(names))


# --- the comparison itself ------------------------------------------------------------------------------------------

GSM = '''
class GSM(nn.Module):
    """Features plus a bias map."""

    def __init__(self, prior: int, channels: int) -> None:
        super().__init__()
        self.signal = SignalGenerator(prior, channels)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        """Add."""
        return x + self.signal(prior, x.shape[-1])
'''
KNOWN = {"GSM": {"modulation.py": definitions(GSM)["GSM"]}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Features plus a bias map.", "Other words."),
        ('        """Add."""\n', ""),
        ("return x +", "# the value, and the bias\n        return x  +"),
    ],
    ids=["docstring", "no docstring", "comment and spaces"],
)
def test_words_may_differ(old: str, new: str) -> None:
    """The chapter's text stands around its cells."""
    assert old in GSM
    assert drift(GSM.replace(old, new), KNOWN) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + self", "x - self"),
        ("x.shape[-1]", "x.shape[-2]"),
        ("channels: int", "channels: float"),
        ("prior: int, channels: int", "prior: int, channels: int = 8"),
        ("class GSM", "class GSN"),
        ("        super().__init__()\n", ""),
        (GSM, "x = 1\n"),
    ],
    ids=["sign", "index", "annotation", "default", "name", "missing line", "no definition"],
)
def test_code_may_not(old: str, new: str) -> None:
    """Each of these changes is noticed."""
    assert old in GSM
    assert drift(GSM.replace(old, new), KNOWN)


def test_a_name_has_one_home() -> None:
    """Of two equal definitions, nobody could tell which one the chapter derives. Another thing of that name is none."""
    one, other = definitions(GSM)["GSM"], definitions(GSM.replace("x + self", "x - self"))["GSM"]
    assert drift(GSM, {"GSM": {"a.py": one, "b.py": one}})
    assert drift(GSM, {"GSM": {"a.py": one, "b.py": other}}) == []
    assert drift(GSM, {"GSM": {"a.py": other, "b.py": other}})


def test_a_class_may_go_on_in_another_cell() -> None:
    """Derived from itself it is one class with what came before, and is compared as a whole."""
    head, tail = GSM.split("    def forward", 1)
    more = f"class GSM(GSM):\n    def forward{tail}"
    first, second = joined([head, more])
    assert not definitions(second)
    assert drift(first, KNOWN) == []
    assert drift(joined([head, more.replace("x + self", "x - self")])[0], KNOWN)
    assert drift(joined([more])[0], KNOWN)  # it never began
