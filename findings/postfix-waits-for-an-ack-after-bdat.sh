#!/usr/bin/env bash
# How long Postfix takes to answer MAIL, RCPT and BDAT that come in one write with a small content, over
# loopback, one message after the other on one connection (RFC 2920 and RFC 3030 allow that).
#
# Guess: no longer than by DATA, whose dot costs a round trip more.
#
# Seen: Postfix 3.7.11 (Debian 12: 3.7.11-0+deb12u1) writes the replies in two pieces when the chunk is longer
# than its buffer of 4096 octets, and TCP holds the second piece back until the first is acknowledged. A client
# that has nothing more to say acknowledges late: some 40 ms more for each message, on loopback as well. Messages
# of 1,000 octets are not held up, nor longer ones whose client sets TCP_QUICKACK before it reads.
#
# Installs the packages over a view of this system that goes away, needs root, network, apt-get, overlayfs and
# python3. Exit status 0: it is still so.
set -uo pipefail
if [ "${1-}" != inside ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    (cd "$folder" && apt-get download -qq postfix=3.7.11-0+deb12u1 libicu72 2>/dev/null)
    unshare --mount --net --pid --fork --kill-child bash "$0" inside "$folder"
    exit
fi
mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir upper work root || exit 2
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root || exit 2
for package in "$2"/*.deb; do dpkg --fsys-tarfile "$package" | tar -x -C root --keep-directory-symlink; done
mount -t proc proc root/proc && mount --rbind /dev root/dev
ip link set lo up
grep -q ^postfix: root/etc/passwd || printf 'postfix:x:990:990::/:/bin/false\n' >>root/etc/passwd
grep -q ^postfix: root/etc/group || printf 'postfix:x:990:\n' >>root/etc/group
grep -q ^postdrop: root/etc/group || printf 'postdrop:x:991:\n' >>root/etc/group
rm -rf root/var/spool/postfix root/var/lib/postfix
install -d root/var/spool/postfix root/probe
install -d root/var/lib/postfix && chroot root chown postfix /var/lib/postfix
cat >root/probe/main.cf <<'END'
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = x.test
mydestination = x.test
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
local_transport = discard
maillog_file = /var/log/probe
END
cat >root/probe/master.cf <<'END'
127.0.0.1:19941 inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
END
touch root/probe/dynamicmaps.cf
cp root/etc/postfix/postfix-files root/etc/postfix/dynamicmaps.cf root/probe/ 2>/dev/null
chroot root /usr/sbin/postfix -c /probe start >/dev/null 2>&1
sleep 3
python3 - <<'END'
import socket, sys, time

def milliseconds(length, quick):
    server = socket.create_connection(("127.0.0.1", 19941))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = server.makefile("rb")
    def reply():
        while True:
            if quick:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            line = lines.readline()
            assert line[:1] == b"2", line
            if line[3:4] == b" ":
                return
    reply()
    server.sendall(b"EHLO me.test\r\n")
    reply()
    content = b"Subject: x\r\n\r\n" + b"A line of the message.\r\n" * (length // 24)
    message = b"MAIL FROM:<a@me.test>\r\nRCPT TO:<u@x.test>\r\nBDAT %d LAST\r\n%b" % (len(content), content)
    times = []
    for _ in range(15):
        begun = time.monotonic()
        server.sendall(message)
        for _ in range(3):
            reply()
        times.append(1000 * (time.monotonic() - begun))
    return sorted(times)[7]

short, long, quick = milliseconds(1000, False), milliseconds(6000, False), milliseconds(6000, True)
print(f"1,000 octets {short:.1f} ms, 6,000 octets {long:.1f} ms, with TCP_QUICKACK {quick:.1f} ms")
sys.exit(not (long > 35 and long > 2 * short and long > 2 * quick))
END
