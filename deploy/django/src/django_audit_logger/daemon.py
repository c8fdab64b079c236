"""Knows how to start log-ingestd for this project: the program, its arguments and its environment."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, urlencode

from .conf import NAME, defaults, given, log_directory, texts
from .logfile import DIRECTORY_MODE

PROGRAM = "log-ingestd"
MODULE = "log_ingestd"
# Options of psycopg that the daemon knows, too.
_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "options")
# Characters that mean something in a pattern.
_SPECIAL = re.compile(r"[*?\[\]{}]")


class Unusable(Exception):
    """The daemon cannot be started with these settings, or not at all; the text says what to do."""


def program() -> list[str]:
    """Returns the command without its arguments: the program on PATH, that beside this Python, or the module."""
    for path in (None, os.path.dirname(sys.executable)):
        found = shutil.which(PROGRAM, path=path)
        if found:
            return [found]
    if find_spec(MODULE) is not None:
        return [sys.executable, "-m", MODULE]
    raise Unusable(
        f"{PROGRAM} is not installed: it is neither on PATH, nor in {os.path.dirname(sys.executable)}, nor "
        f"a module of this Python. Install its Debian package, or run `cargo install --profile dist --path "
        "DIRECTORY` with the directory of its sources"
    )


def watched() -> list[str]:
    """Returns patterns for the logs of the middleware and of Gunicorn, with the files that were rotated.

    Creates their directories as the first line would: the daemon refuses one that is missing.
    """
    requests = os.path.abspath(os.fspath({**defaults(), **given()}["LOG_FILE"]))
    accesses = os.path.join(os.path.abspath(log_directory()), "access.log")
    try:
        os.makedirs(os.path.dirname(requests), DIRECTORY_MODE, exist_ok=True)
    except OSError as error:
        raise Unusable(
            f"the directory of the log, {os.path.dirname(requests)}, is missing and cannot be made "
            f"({error.strerror}): make it, or set {NAME}['LOG_FILE'] or GUNICORN_LOG_DIR"
        ) from None
    # In a project without Gunicorn the second directory may be missing.
    logs = [path for path in (requests, accesses) if os.path.isdir(os.path.dirname(path))]
    return [_SPECIAL.sub(r"[\g<0>]", path) + "*" for path in dict.fromkeys(logs)]


def environment(connection: Any, before: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment with the database of the settings. No argument of a process has its password."""
    variables, database = dict(before), connection.settings_dict
    name = database.get("NAME")
    if connection.vendor == "sqlite":
        if not name or str(name) == ":memory:" or str(name).startswith("file:"):
            raise Unusable(f"the database {name!r} is not a file: rows would be lost with the process")
        variables["DATABASE_URL"] = f"sqlite:{os.path.abspath(name)}"
    elif connection.vendor == "postgresql":
        options = database.get("OPTIONS") or {}
        if "service" in options:
            raise Unusable(
                "the daemon reads no service file: give HOST, PORT, USER and NAME instead of OPTIONS['service']"
            )
        parts = {key: options[key] for key in _OPTIONS if options.get(key)}
        for key, part in (("USER", "user"), ("HOST", "host"), ("PORT", "port"), ("NAME", "dbname")):
            if database.get(key):
                parts[part] = database[key]
        variables["DATABASE_URL"] = f"postgres://?{urlencode(parts, quote_via=quote)}"
        if database.get("PASSWORD"):
            variables["PGPASSWORD"] = str(database["PASSWORD"])
        if options.get("passfile"):
            variables["PGPASSFILE"] = os.fspath(options["passfile"])
    else:
        raise Unusable(
            f"the log tables cannot be in {connection.display_name}: {PROGRAM} stores in PostgreSQL and SQLite. Give the logs a "
            f"database of their own with {NAME}['DATABASE']"
        )
    # The daemon masks lines once more, by the same rule.
    values = given()
    if "SENSITIVE_FIELDS" in values:
        variables.setdefault("LOG_INGESTD_SENSITIVE_FIELDS", ",".join(texts(values["SENSITIVE_FIELDS"])))
    if "MASKING" in values:
        variables.setdefault("LOG_INGESTD_MASKING", str(values["MASKING"]))
    return variables


def command(arguments: Sequence[str]) -> list[str]:
    """Returns the whole command. If the first argument is a command of the program, nothing is watched."""
    is_daemon = not arguments or arguments[0].startswith("-")
    return [*program(), *(["--watch", *watched()] if is_daemon else []), *arguments]
