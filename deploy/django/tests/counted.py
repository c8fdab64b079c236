"""The tests' project, which also records each request that reaches it.

The logs are compared with this record: a request's ``id`` is in the file TEST_COUNTED before Django
gets the request. The package has no part in it.
"""

import os

from .wsgi import application as project

_counted = os.open(os.environ["TEST_COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def application(environ, start_response):
    number = environ["QUERY_STRING"].partition("id=")[2].partition("&")[0]
    os.write(_counted, f"{number}\n".encode())
    return project(environ, start_response)
