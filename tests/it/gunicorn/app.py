"""The smallest applications that answer every request.

Each writes the URL that it answers into the file $SERVED: the truth that the stored rows are compared with.
"""

import os

SERVED = os.open(os.environ["SERVED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def served(path, query):
    os.write(SERVED, f"{path}?{query}\n".encode())


def wsgi(environ, start_response):
    served(environ["PATH_INFO"], environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    served(scope["path"], scope["query_string"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok\n"})
