"""The tests' project, which also counts by itself what reaches it.

Whatever the logs say of a request is held against this: its ``id`` stands in the file TEST_COUNTED
before Django knows of it. Nothing of the package is in the way.
"""

import os

from .wsgi import application as project

_counted = os.open(os.environ["TEST_COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def application(environ, start_response):
    number = environ["QUERY_STRING"].partition("id=")[2].partition("&")[0]
    os.write(_counted, f"{number}\n".encode())
    return project(environ, start_response)
