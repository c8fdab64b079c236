"""The daemon's tables. The daemon creates and fills them; Django only reads, without migrations."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from .fields import TimestampField


class Line(models.Model):
    """The columns of both tables."""

    id = models.BigIntegerField(primary_key=True, help_text="The same line always has the same.")
    timestamp = TimestampField(help_text="When the request was logged.")
    # Plain numbers, no foreign key: they stay valid when the file's own row is deleted.
    log_file = models.IntegerField(help_text="The file that held the line: log_file.id.")
    log_offset = models.BigIntegerField(help_text="Bytes before the line in its file.")
    method = models.TextField(null=True)
    user_id = models.TextField(null=True)
    route = models.TextField(null=True, help_text="The pattern of URLs that led to the view.")
    request_id = models.TextField(null=True, help_text="A client may choose it.")
    trace_id = models.TextField(null=True, help_text="Of traceparent.")
    headers = models.JSONField(null=True, help_text="Request headers by their lower-case names.")

    class Meta:
        abstract = True


class RequestLog(Line):
    """One row for each request that the middleware logged."""

    path = models.TextField(null=True)
    query_params = models.TextField(null=True)
    body = models.TextField(null=True)
    content_type = models.TextField(null=True)
    status_code = models.IntegerField(null=True)
    response_headers = models.JSONField(null=True)
    response_body = models.TextField(null=True)
    response_time_ms = models.FloatField(null=True, help_text="Milliseconds.")
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(null=True)
    session_id = models.TextField(null=True, help_text="A digest of the session's key.")
    extra_data = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "request_log"
        ordering: ClassVar = ["-timestamp", "-id"]
        verbose_name = "request log"

    def __str__(self) -> str:
        return f"{self.method} {self.path} - {self.status_code} ({self.timestamp:%Y-%m-%d %H:%M:%S})"


class GunicornLogModel(Line):
    """One row for each line of Gunicorn's access log."""

    url = models.TextField(null=True, help_text="Path and query.")
    host = models.TextField(null=True)
    user_ip = models.GenericIPAddressField(null=True)
    agent = models.TextField(null=True, help_text="User-Agent.")
    source = models.TextField(null=True, help_text="Referer.")
    request = models.JSONField(null=True)
    response = models.JSONField(null=True)
    duration = models.BigIntegerField(null=True, help_text="Microseconds.")
    code = models.IntegerField(null=True)
    protocol = models.TextField(null=True)
    response_bytes = models.BigIntegerField(null=True)
    pid = models.IntegerField(null=True, help_text="The worker's.")
    patch = models.BinaryField(null=True, help_text="For `log-ingestd export`: in what the line differs.")

    class Meta:
        managed = False
        db_table = "gunicorn_log"
        ordering: ClassVar = ["-timestamp", "-id"]
        verbose_name = "Gunicorn log"

    def __str__(self) -> str:
        return f"{self.method} {self.url} - {self.code} ({self.timestamp:%Y-%m-%d %H:%M:%S})"
