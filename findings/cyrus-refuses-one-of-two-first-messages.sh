#!/usr/bin/env bash
# Cyrus IMAP 3.6.1 (Debian 12: cyrus-common 3.6.1-4+deb12u5), autocreate_post, first mail by two connections.
#
# Guess: the mailbox of a user is made at RCPT, once; whoever comes second finds it and gets 250.
#
# Seen: when two connections name a user at once who has no mailbox yet, one of them is refused with
# "451 4.3.0 Mailbox already exists". Nothing is wrong, and a moment later it is taken; a relay that
# holds a 451 against the message or the host lets the second message of a new user wait for long.
#
# Installs the packages in a temporary folder, needs root, network and apt-get. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'kill "$master" 2>/dev/null; wait; rm -rf "$folder"' EXIT
chmod 755 "$folder"
packages=(cyrus-common=3.6.1-4+deb12u5 libsasl2-2=2.1.28+dfsg-10 libsasl2-modules=2.1.28+dfsg-10 libdb5.3 libcom-err2
  libgssapi-krb5-2 libical3 libicu72 libjansson4 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0
  libnsl2 libpcre3 libpq5 libsqlite3-0 libtirpc3 libwrap0 libxapian30 libxml2)
(cd "$folder" && apt-get download -qq "${packages[@]}" 2>/dev/null)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
lib=$folder/root/usr/lib
export LD_LIBRARY_PATH=$lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu SASL_PATH=$lib/x86_64-linux-gnu/sasl2
mkdir -p "$folder/lib" "$folder/store"
cat >"$folder/imapd.conf" <<END
configdirectory: $folder/lib
partition-default: $folder/store
defaultpartition: default
servername: localhost
lmtpsocket: $folder/lmtp
cyrus_user: daemon
autocreate_post: yes
autocreate_quota: 0
END
cat >"$folder/cyrus.conf" <<END
START {
}
SERVICES {
  lmtp cmd="$lib/cyrus/bin/lmtpd -C $folder/imapd.conf -a" listen="127.0.0.1:19913" prefork=0
}
EVENTS {
}
END
chown -R daemon "$folder/lib" "$folder/store" "$folder"
setsid "$folder/root/usr/sbin/cyrmaster" -C "$folder/imapd.conf" -M "$folder/cyrus.conf" -p "$folder/pid" </dev/null &
master=$!
sleep 3
python3 - <<'END'
import smtplib, sys, threading

def rcpt(client, user, ready, seen):
    client.rset()
    client.mail("a@b.test")
    ready.wait()
    seen.append(client.rcpt(user))

clients = [smtplib.LMTP("127.0.0.1", 19913) for _ in range(4)]
for client in clients:
    client.ehlo()
for user in range(50):
    ready, seen = threading.Barrier(len(clients)), []
    threads = [threading.Thread(target=rcpt, args=(c, f"u{user}", ready, seen)) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [reply for reply in seen if reply[0] != 250]
    if refused:
        again = clients[0].rcpt(f"u{user}")
        print(f"user {user}: {refused[0]}, and a moment later {again}")
        sys.exit(0 if b"Mailbox already exists" in refused[0][1] and again[0] == 250 else 1)
print("nobody was refused")
sys.exit(1)
END
