"""A server that webhooks post to.

    webhook.py PORT FOLDER [CERTIFICATE KEY]

Writes each post into FOLDER/posts, a line of JSON: its headers, its body, whether its signature is good by the
secrets in FOLDER/secrets, and the status that it got. FOLDER/mode says how it answers: a status, a status with
lines of header ("429 Retry-After: 1"), "hang", "flood" (2xx and a body without end), or "poison TEXT" (400
where the body has TEXT).
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading
import time

port, folder = int(sys.argv[1]), sys.argv[2]
one_by_one = threading.Lock()


def read(name):
    try:
        with open(os.path.join(folder, name)) as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def is_signed(headers, body):
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
    good = []
    for secret in read("secrets").split():
        key = base64.b64decode(secret.removeprefix("whsec_"))
        good.append("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())
    is_fresh = abs(time.time() - int(headers.get("webhook-timestamp", "0"))) < 300
    return is_fresh and bool(good) and headers.get("webhook-signature", "").split(" ") == good


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mode = read("mode") or "200"
        status, lines = 200, []
        if mode.startswith("poison "):
            status = 400 if mode.removeprefix("poison ").encode() in body else 200
        elif mode[0].isdigit():
            status, *lines = mode.split(" ", 1)
            status = int(status)
        post = {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": json.loads(body),
            "signed": is_signed(self.headers, body),
            "status": 0 if mode == "hang" else status,
            "connection": self.client_address[1],
        }
        with one_by_one, open(os.path.join(folder, "posts"), "a") as file:
            file.write(json.dumps(post) + "\n")
        if mode == "hang":
            time.sleep(60)
        self.send_response(status)
        for line in lines:
            self.send_header(*line.split(": ", 1))
        if mode == "flood":
            self.send_header("Content-Length", str(1 << 30))
            self.end_headers()
            for _ in range(1 << 10):
                self.wfile.write(b"x" * (1 << 20))
            return
        text = b"no: \x1b[31mnot so" if status >= 300 else b""
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.daemon_threads = True
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
