#!/usr/bin/env bash
# libmilter 8.17.1.9 (Debian 12: libmilter1.0.1), seen with pymilter 1.0.5 and opendkim 2.11.
#
# Guess: QUIT_NC ('K') of protocol version 6 says at any point between two messages that another client
# follows on the same connection.
#
# Seen: it does behind an end of message that the filter answers with CONTINUE. Behind ACCEPT, and before
# the first message, it is passed over in silence, and so is the CONNECT that follows: no answer ever
# comes. A packet of more than 65,535 octets, such as a long header, ends the connection.
#
# Needs Debian's own python3 and python3-milter. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'kill "${filter:-}" 2>/dev/null; rm -rf "$folder"' EXIT
cat >"$folder/filter.py" <<'END'
import Milter, sys
class Filter(Milter.Base):
    def connect(self, *what): return Milter.CONTINUE
    def envfrom(self, sender, *what):
        self.sender = sender
        return Milter.CONTINUE
    def header(self, name, value): return Milter.CONTINUE
    def eom(self): return Milter.ACCEPT if "accept" in self.sender else Milter.CONTINUE
Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter("filter", sys.argv[1], 0)
END
/usr/bin/python3 "$folder/filter.py" "unix:$folder/sock" &
filter=$!
sleep 2
/usr/bin/python3 - "$folder/sock" <<'END'
import socket, struct, sys

def packet(command, data=b""):
    return struct.pack(">I", len(data) + 1) + command + data

class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(sys.argv[1])
        self.socket.settimeout(2)
        # Only CONNECT, MAIL, headers and the end are told and answered.
        self.ask(b"O", struct.pack(">III", 6, 0x1ff, 0x1fffff))

    def ask(self, command, data=b""):
        self.socket.sendall(packet(command, data))
        try:
            head = self.socket.recv(4)
            return self.socket.recv(struct.unpack(">I", head)[0])[:1] if head else b"closed"
        except TimeoutError:
            return b"silence"
        except ConnectionError:
            return b"closed"

    def connect(self):
        return self.ask(b"C", b"[127.0.0.1]\x004\x00\x19127.0.0.1\x00")

    def message(self, sender):
        self.ask(b"M", sender + b"\x00")
        return self.ask(b"E")

def after(*senders):
    client = Client()
    client.connect()
    for sender in senders:
        client.message(sender)
    client.socket.sendall(packet(b"K"))
    return client.connect()

long = Client()
long.connect()
long.ask(b"M", b"<a@b>\x00")
seen = [after(b"<a@b>"), after(b"<accept@b>"), after(), long.ask(b"L", b"X\x00" + b"y" * 70_000 + b"\x00")]
print(seen)
sys.exit(0 if seen == [b"c", b"silence", b"silence", b"closed"] else 1)
END
