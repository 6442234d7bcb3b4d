"""Where the shipped files are: in the checkout's data/, or inside an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def data_path(name: str) -> Path:
    """Return the path of a shipped file.

    Parameters
    ----------
    name : str
        File name below data/, for example ``"vocab.json"``.

    Raises
    ------
    FileNotFoundError
        If neither the checkout nor the installed package has that file.
    """
    installed = PACKAGE / "_data"  # exists in a wheel only: setuptools puts data/ there
    folder = installed if installed.is_dir() else PACKAGE.parent / "data"
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(
            f"uvlm_mini has no shipped file {name!r} in {folder}: check the name, or reinstall the package."
        )
    return path
