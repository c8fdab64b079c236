"""Finds the program log-ingestd, which this package installs."""

import sysconfig
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

NAME = "log-ingestd"


def find_program() -> str:
    """Returns the path of the installed program.

    Raises FileNotFoundError where it is not there.
    """
    for path in _candidates():
        if path.is_file():
            return str(path)
    raise FileNotFoundError(f"the program {NAME} is not installed beside {__file__}: expected it in "
                            f"{sysconfig.get_path('scripts')}; install the wheel {NAME} again")


def _candidates():
    """Yields places of the program: where pip says that it is, then beside a `pip install --target`."""
    try:
        for file in files(NAME) or []:
            if file.name == NAME:
                yield Path(file.locate()).resolve()
    except PackageNotFoundError:
        pass
    yield Path(__file__).resolve().parents[1] / "bin" / NAME
    yield Path(sysconfig.get_path("scripts")) / NAME
