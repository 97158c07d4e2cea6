#!/usr/bin/env bash
# What servers that offer PIPELINING do with the commands of the next message sent right behind the final dot
# of one, in the same segment: RFC 2920 section 3.1 names that as allowed.
#
# Guess: all of them take it, since their EHLO says PIPELINING.
#
# Seen: chasquid 1.11 (Debian 12: 1.11-2+b2) takes the message and drops the commands behind its dot without a
# word, so that a client waits for their replies for ever. Haraka 3.3.4 (npm) answers 503 to each of them
# ("command pipelined after end of DATA - refused", says its log). smtp-server 3.21.6 (npm) takes them.
# (Courier 1.0.16 of Debian 12 drops them, too; Postfix 3.7.11 and Exim 4.96 take them.)
#
# Installs the packages in a temporary folder, needs network, apt-get, npm, openssl and python3. Exit status
# 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; wait; rm -rf "$folder"' EXIT
cd "$folder" || exit 2
apt-get download -qq chasquid=1.11-2+b2 2>/dev/null && dpkg -x chasquid_*.deb root
npm install --silent --ignore-scripts haraka@3.3.4 smtp-server@3.21.6 >/dev/null 2>&1

mkdir -p etc/certs/x.test etc/domains/x.test data
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x.test -keyout etc/certs/x.test/privkey.pem \
    -out etc/certs/x.test/fullchain.pem 2>/dev/null
echo "u: elsewhere@y.test" >etc/domains/x.test/aliases
printf '%s\n' 'hostname: "x.test"' 'smtp_address: "127.0.0.1:19931"' 'submission_address: "127.0.0.1:19932"' \
    "data_dir: \"$folder/data\"" "mail_log_path: \"$folder/log\"" >etc/chasquid.conf
root/usr/bin/chasquid -config_dir etc >/dev/null 2>&1 &
servers+=($!)

node_modules/.bin/haraka -i haraka >/dev/null 2>&1
echo listen=127.0.0.1:19933 >haraka/config/smtp.ini
echo x.test >haraka/config/host_list
printf 'rcpt_to.in_host_list\nqueue/test\n' >haraka/config/plugins
node_modules/.bin/haraka -c haraka >/dev/null 2>&1 &
servers+=($!)

cat >server.js <<'END'
const { SMTPServer } = require('smtp-server');
const onData = (stream, session, done) => { stream.resume(); stream.on('end', done); };
new SMTPServer({ disabledCommands: ['AUTH', 'STARTTLS'], onData }).listen(19934, '127.0.0.1');
END
node server.js &
servers+=($!)
sleep 5
python3 - <<'END'
import socket, sys

COMMANDS = b"MAIL FROM:<a@me.test>\r\nRCPT TO:<u@x.test>\r\nDATA\r\n"

def seen(port):
    server = socket.create_connection(("127.0.0.1", port))
    server.settimeout(5)
    lines = server.makefile("rb")
    def reply():
        offers = []
        while True:
            line = lines.readline().decode().rstrip()
            offers.append(line[4:])
            if line[3:4] != "-":
                return line[:3], offers
    reply()
    server.sendall(b"EHLO me.test\r\n")
    assert "PIPELINING" in reply()[1]
    server.sendall(COMMANDS)
    replies = [reply()[0] for _ in range(3)]
    assert replies == ["250", "250", "354"], replies
    server.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n" + COMMANDS)
    replies = [reply()[0]]
    try:
        replies += [reply()[0] for _ in range(3)]
    except TimeoutError:
        replies.append("silence")
    return replies

all_seen = {name: seen(port) for name, port in [("chasquid", 19931), ("haraka", 19933), ("smtp-server", 19934)]}
print(all_seen)
sys.exit(all_seen != {
    "chasquid": ["250", "silence"],
    "haraka": ["250", "503", "503", "503"],
    "smtp-server": ["250", "250", "250", "354"],
})
END
