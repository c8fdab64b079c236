"""``manage.py copy_audit_logs``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, router

from ...copying import PACKAGES, Copy
from ...models import GunicornLogModel, RequestLog
from ...sweep import missing_tables


class Command(BaseCommand):
    """Copies rows of older packages, once each."""

    help = (
        "Copy the rows of django-gunicorn-audit-logs, or of django-audit-logger, into the tables of log-ingestd. "
        "What is copied is not copied again: an interrupted copy goes on with the same command"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database",
            help="The database with the other tables (default: each one of DATABASES is looked at)",
        )
        parser.add_argument(
            "--batch-size", type=int, default=1000, help="Rows of one transaction (default: 1000)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch_size"] <= 0:
            raise CommandError("Batch size must be a positive number of rows")
        aliases = [options["database"]] if options["database"] else list(settings.DATABASES)
        if not set(aliases) <= set(settings.DATABASES):
            raise CommandError(f"{aliases[0]!r} is not in DATABASES")
        target = router.db_for_write(RequestLog)
        try:
            missing = missing_tables(target, (RequestLog, GunicornLogModel))
            if missing:
                raise CommandError(missing)
            copies = [
                copy
                for alias in aliases
                for package in PACKAGES
                for model in (RequestLog, GunicornLogModel)
                if (copy := Copy(package, model, alias, target)).is_present()
            ]
            if not copies:
                tables = ", ".join(f"{package}_requestlog" for package in PACKAGES)
                raise CommandError(
                    f"No table to copy in {', '.join(aliases)}: expected {tables}, or the same with "
                    "_gunicornlogmodel"
                )
            for copy in copies:
                self._copy(copy, options["batch_size"])
        except DatabaseError as error:
            raise CommandError(
                f"{str(error).strip()}. What is copied stays: the same command goes on"
            ) from error

    def _copy(self, copy: Copy, batch_size: int) -> None:
        table, done = copy.target_model._meta.db_table, 0
        for count in copy.run(batch_size):
            done += count
            if count:
                self.stdout.write(f"{copy.table}: {done} copied")
        rows, copied = copy.counts()
        text = f"{copy.table}: {rows} rows, {done} copied now, {copied} in {table}"
        self.stdout.write(self.style.SUCCESS(text) if rows == copied else self.style.WARNING(text))
