"""The list of mutants fits the code; `python -m tests.mutants` runs them all."""

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, survives


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_text_is_there(mutant: Mutant) -> None:
    """Every mutant changes just one place, to something else, and names tests that exist."""
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert all((ROOT / name).is_file() for name in mutant.tests.split())


@pytest.mark.parametrize("name", ["gsm sign", "scan off by one"])
def test_a_mutant_is_caught(name: str) -> None:
    """Two of them in every run; the others take minutes."""
    (mutant,) = [m for m in MUTANTS if m.name == name]
    assert not survives(mutant)
