"""`python -m uvlm_mini.kernels` compiles the C kernels, if they are not yet, and says how and where."""

from __future__ import annotations

import sys

from .build import Library, loaded

FORMS = {0: "plain", 1: "AVX2", 2: "AVX-512 with VNNI", 3: "Helium"}


def forms(made: Library) -> str:
    """The forms of a kernel that run here, the one that is taken first."""
    best = made.lib.uvlm_form()
    return ", ".join(FORMS[form] for form in sorted(FORMS, key=lambda form: form != best) if made.lib.uvlm_has(form))


def main() -> int:
    """Print one line a thing; 1 if there is no compiler or no cffi, with the reason."""
    try:
        made = loaded()
    except (RuntimeError, ModuleNotFoundError) as error:
        print(f"The C kernels are not compiled. {error}", file=sys.stderr)
        return 1
    print(f"compiler  {made.compiler}")
    print(f"flags     {' '.join(made.flags)}")
    print(f"forms     {forms(made)}")
    print(f"wrapper   {'compiled (Python.h)' if made.way == 'api' else 'none (no Python.h)'}")
    print(f"library   {made.path}" + ("" if made.seconds is None else f", compiled in {made.seconds:.1f} s"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
