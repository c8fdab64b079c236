"""The smallest site that there is."""


def application(environ, start_response):
    """Answers every request."""
    body = f"You asked for {environ['PATH_INFO']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
