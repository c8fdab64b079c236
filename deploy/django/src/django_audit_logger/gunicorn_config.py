"""Reads Gunicorn's configuration from the environment.

``gunicorn -c python:django_audit_logger.gunicorn_config project.wsgi``, or copy this file.
"""

import os

from django_audit_logger.glogger import GLogger

__all__ = ["GLogger"]

bind = os.environ.get("GUNICORN_BIND", "0.0.0.0:8000")
workers = int(os.environ.get("GUNICORN_WORKERS", "4"))

# A worker is replaced after this many requests. The jitter spreads the replacements.
max_requests = int(os.environ.get("GUNICORN_MAX_REQUESTS", "1000"))
max_requests_jitter = int(os.environ.get("GUNICORN_MAX_REQUESTS_JITTER", "50"))

loglevel = os.environ.get("GUNICORN_LOG_LEVEL", "info")
# Gunicorn's own text lines; empty for none. The JSON lines are written in any case, to
# GUNICORN_LOG_DIR/access.log, which rotates by GUNICORN_LOG_MAX_BYTES and _BACKUP_COUNT.
accesslog = os.environ.get("GUNICORN_ACCESS_LOG", "-") or None
errorlog = os.environ.get("GUNICORN_ERROR_LOG", "-")

logger_class = "django_audit_logger.glogger.GLogger"
