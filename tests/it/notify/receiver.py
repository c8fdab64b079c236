"""Receives what is posted, and writes each request as a line: path, type, body. The first answers may be refusals.

receiver.py FILE REFUSALS [CERTIFICATE KEY]; prints its port. With REFUSALS of "never" it does not answer at all.
"""

import http.server
import ssl
import sys
import time

FILE, REFUSALS, *TLS = sys.argv[1:]
LEFT = [0 if REFUSALS == "never" else int(REFUSALS)]


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if REFUSALS == "never":
            time.sleep(3600)
        status = 204
        if LEFT[0] > 0:
            LEFT[0] -= 1
            status = 503
        with open(FILE, "ab") as file:
            file.write(f"{status} {self.path} {self.headers['Content-Type']} ".encode() + body + b"\n")
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
if TLS:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*TLS)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
