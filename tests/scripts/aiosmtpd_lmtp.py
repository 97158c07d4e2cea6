"""aiosmtpd's LMTP server on a port of 127.0.0.1, until its standard input ends.

    aiosmtpd_lmtp.py PORT FILE

Writes a line with the recipients of each message to FILE.
"""

import sys

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP


class Books:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)

    async def handle_DATA(self, server, session, envelope):
        self.file.write(" ".join(envelope.rcpt_tos) + "\n")
        return "250 2.0.0 taken"


class Server(Controller):
    def factory(self):
        return LMTP(self.handler)


server = Server(Books(sys.argv[2]), hostname="127.0.0.1", port=int(sys.argv[1]))
server.start()
sys.stdin.read()
server.stop()
