#!/usr/bin/env bash
# Cyrus IMAP 3.6.1 (Debian 12: cyrus-common 3.6.1-4+deb12u5), duplicatesuppression as it is by default.
#
# Guess: of two messages with one Message-ID for one mailbox the second is not kept.
#
# Seen: only if its Date is the same, too. With another Date both are kept, each answered "250 2.1.5 Ok".
# A message without Date gets one of the second in which it comes: sent twice it is kept once within that
# second, and twice otherwise.
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
  lmtp cmd="$lib/cyrus/bin/lmtpd -C $folder/imapd.conf -a" listen="127.0.0.1:19914" prefork=0
}
EVENTS {
}
END
chown -R daemon "$folder/lib" "$folder/store" "$folder"
setsid "$folder/root/usr/sbin/cyrmaster" -C "$folder/imapd.conf" -M "$folder/cyrus.conf" -p "$folder/pid" </dev/null &
master=$!
sleep 3
python3 - "$folder/store" <<'END'
import pathlib, smtplib, sys, time

def kept(user, dates, pause):
    client = smtplib.LMTP("127.0.0.1", 19914)
    client.ehlo()
    time.sleep(1.1 - time.time() % 1)
    for date in dates:
        line = f"Date: {date}\r\n" if date else ""
        client.sendmail("a@b.test", [user], f"Message-ID: <one@b.test>\r\n{line}Subject: x\r\n\r\nx\r\n")
        time.sleep(pause)
    files = [path for path in pathlib.Path(sys.argv[1]).rglob("*.") if path.name[:-1].isdigit()]
    return len(files) - sum(seen.values())

one, other = "Mon, 30 Nov 2026 01:00:00 +0000", "Mon, 30 Nov 2026 02:00:00 +0000"
seen = {}
for name, dates, pause in [
    ("one date", [one, one], 2),
    ("two dates", [one, other], 0),
    ("no date, at once", [None, None], 0),
    ("no date, later", [None, None], 2),
]:
    seen[name] = kept(f"u{len(seen)}", dates, pause)
print(seen)
sys.exit(seen != {"one date": 1, "two dates": 2, "no date, at once": 1, "no date, later": 2})
END
