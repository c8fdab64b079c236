"""``manage.py cleanup_audit_logs``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router
from django.db.models import Model

from ...models import GunicornLogModel, RequestLog
from ...sweep import Busy, Sweep, missing_tables

_TABLES: dict[str, type[Model]] = {"request": RequestLog, "gunicorn": GunicornLogModel}


class Command(BaseCommand):
    """Deletes rows that are older than a number of days."""

    help = "Clean up old audit logs based on retention period"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=int, default=90, help="Number of days to keep logs (default: 90)"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Show what would be deleted, and delete nothing"
        )
        parser.add_argument(
            "--batch-size", type=int, default=5000, help="Rows of one transaction (default: 5000)"
        )
        parser.add_argument(
            "--log-type",
            choices=["all", *_TABLES],
            default="all",
            help="Type of logs to clean up (default: all)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] <= 0:
            raise CommandError("Retention period must be a positive number of days")
        if options["batch_size"] <= 0:
            raise CommandError("Batch size must be a positive number of rows")
        try:
            cutoff = datetime.now(timezone.utc) - timedelta(days=options["days"])
        except OverflowError:
            raise CommandError("Retention period goes back further than time") from None
        wanted = _TABLES if options["log_type"] == "all" else [options["log_type"]]
        sweep = Sweep(router.db_for_write(RequestLog), cutoff)
        missing = missing_tables(sweep.alias, (_TABLES[name] for name in wanted))
        if missing:
            raise CommandError(missing)
        if options["dry_run"]:
            for name in wanted:
                count = self._count(sweep, name)
                text = f"DRY RUN: Would delete {count} {name} logs older than {cutoff.isoformat()}"
                self.stdout.write(self.style.WARNING(text))
            return
        removed: dict[type[Model], int] = {}
        try:
            with sweep.alone():
                try:
                    for name in wanted:
                        self._clean(sweep, name, options["batch_size"], removed)
                finally:
                    if any(removed.values()):
                        sweep.record(removed)
        except Busy:
            raise CommandError("Another sweep of this database is under way") from None

    def _count(self, sweep: Sweep, name: str) -> int:
        rows = _TABLES[name]._default_manager.using(sweep.alias)
        count: int = rows.filter(timestamp__lt=sweep.cutoff).count()
        return count

    def _clean(
        self, sweep: Sweep, name: str, batch_size: int, removed: dict[type[Model], int]
    ) -> None:
        total = self._count(sweep, name)
        older = f"older than {sweep.cutoff.isoformat()}"
        if total == 0:
            self.stdout.write(self.style.SUCCESS(f"No {name} logs found {older}"))
            return
        self.stdout.write(self.style.WARNING(f"Deleting {total} {name} logs {older}"))
        deleted = 0
        while count := sweep.batch(_TABLES[name], batch_size):
            deleted += count
            removed[_TABLES[name]] = deleted
            self.stdout.write(f"Deleted batch of {count} {name} logs ({deleted}/{total})")
        self.stdout.write(self.style.SUCCESS(f"Successfully deleted {deleted} {name} logs"))
