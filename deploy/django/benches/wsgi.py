"""The request of the benchmarks, as a WSGI server passes it on."""

import io


def environ(method, url, body=b""):
    headers = {
        "HTTP_HOST": "example.com",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_ACCEPT": "application/json", "HTTP_ACCEPT_LANGUAGE": "en-GB,en;q=0.5",
        "HTTP_ACCEPT_ENCODING": "gzip, br", "HTTP_COOKIE": "sessionid=abcdefghijklmnop",
        "HTTP_REFERER": "https://example.com/orders?page=2", "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    }
    return {
        **headers, "REQUEST_METHOD": method, "PATH_INFO": url, "QUERY_STRING": "page=2&sort=name",
        "SERVER_NAME": "example.com", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": "application/json" if body else "", "CONTENT_LENGTH": str(len(body) or ""),
    }  # fmt: skip
