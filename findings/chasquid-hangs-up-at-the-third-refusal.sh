#!/usr/bin/env bash
# chasquid 1.11 (Debian 12: chasquid 1.11-2+b2), settings as they are by default.
#
# Guess: each RCPT is answered by itself, so that a message to known and unknown users reaches the known
# ones; and a recipient beyond the limit of a transaction gets 452, after which DATA sends it to the others.
#
# Seen: the third refusal of a connection, of whatever kind and in whichever of its transactions, is
# "421 4.5.0 Too many errors, bye" in place of its own reply, and the connection is closed. Recipients taken
# before that are lost with it. 101 recipients of a transaction are taken; whoever sends 104 RCPT at once,
# as PIPELINING allows, reads two times 452 and then 421, and never gets anything through.
#
# Installs the package in a temporary folder, needs network, apt-get, openssl and python3. Exit status 0: it
# is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait; rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download -qq chasquid=1.11-2+b2 2>/dev/null && dpkg -x chasquid_*.deb root)
mkdir -p "$folder"/{etc/certs/x.test,etc/domains/x.test,data}
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x.test -keyout "$folder/etc/certs/x.test/privkey.pem" \
    -out "$folder/etc/certs/x.test/fullchain.pem" 2>/dev/null
for n in $(seq 1 120); do echo "u$n: elsewhere$n@y.test"; done >"$folder/etc/domains/x.test/aliases"
cat >"$folder/etc/chasquid.conf" <<END
hostname: "x.test"
smtp_address: "127.0.0.1:19925"
submission_address: "127.0.0.1:19926"
data_dir: "$folder/data"
mail_log_path: "$folder/log"
END
"$folder/root/usr/bin/chasquid" -config_dir "$folder/etc" >/dev/null 2>&1 &
server=$!
sleep 2
python3 - <<'END'
import socket, sys

class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", 19925))
        self.lines = self.socket.makefile("rb")
        self.reply()
        self.say("EHLO me.test")
    def reply(self):
        try:
            while True:
                line = self.lines.readline().decode().rstrip()
                if line[3:4] != "-":
                    return line[:9].rstrip() or "closed"
        except ConnectionError:
            return "closed"
    def say(self, command):
        try:
            self.socket.sendall(command.encode() + b"\r\n")
        except ConnectionError:
            return "closed"
        return self.reply()

one = Client()
one.say("MAIL FROM:<a@me.test>")
first = [one.say(f"RCPT TO:<{user}@x.test>") for user in ("u1", "none1", "u2")]
one.say("RSET")
one.say("MAIL FROM:<a@me.test>")
second = [one.say(f"RCPT TO:<{user}@x.test>") for user in ("u1", "none2", "u2", "none3", "u3")]
many = Client()
many.say("MAIL FROM:<a@me.test>")
count = 110
many.socket.sendall(b"".join(b"RCPT TO:<u%d@x.test>\r\n" % n for n in range(1, count + 1)))
replies = [many.reply() for _ in range(count)]
taken = sum(reply.startswith("250") for reply in replies)
print(first, second, taken, replies[taken:taken + 4])
sys.exit((first, second, taken, replies[taken:taken + 4]) != (
    ["250 2.1.5", "550 5.1.1", "250 2.1.5"],
    ["250 2.1.5", "550 5.1.1", "250 2.1.5", "421 4.5.0", "closed"],
    101, ["452 4.5.3", "452 4.5.3", "421 4.5.0", "closed"]))
END
