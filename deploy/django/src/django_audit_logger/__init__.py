"""Request logs of Django and access logs of Gunicorn, as JSON lines in files."""

__version__ = "1.2.0"
