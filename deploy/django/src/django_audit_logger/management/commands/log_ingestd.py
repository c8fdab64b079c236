"""``manage.py log_ingestd``."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, router

from ... import daemon
from ...models import RequestLog


class Command(BaseCommand):
    """Becomes the daemon, with the database and the logs of the settings."""

    help = (
        "Start log-ingestd with the database and the logs of the settings. Arguments after -- are passed on: "
        "-- --retention 30d, or -- status"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("arguments", nargs="*", help="Arguments of log-ingestd, after --")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[router.db_for_write(RequestLog)]
        try:
            environment = daemon.environment(connection, os.environ)
            command = daemon.command(options["arguments"])
        except daemon.Unusable as error:
            raise CommandError(str(error)) from None
        connections.close_all()
        # The same process: signals of a supervisor reach the daemon.
        try:
            os.execve(command[0], command, environment)
        except OSError as error:
            raise CommandError(f"{command[0]} cannot be started: {error.strerror}") from None
