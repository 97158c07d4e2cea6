#!/usr/bin/env bash
# Cyrus IMAP 3.6.1 (Debian 12: cyrus-common 3.6.1-4+deb12u5), two masters started side by side.
#
# Guess: SIGTERM to the master of one instance ends that one and its children.
#
# Seen: it ends both. Without -d a master stays in the process group of whoever started it, and on
# SIGTERM it signals the whole group; all processes of the same user end, masters of other
# instances among them, with exit status 0 and no word. Each has to be started in a group of its own.
#
# Installs the packages in a temporary folder, needs root, network and apt-get. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
packages=(cyrus-common=3.6.1-4+deb12u5 libsasl2-2=2.1.28+dfsg-10 libsasl2-modules=2.1.28+dfsg-10 libdb5.3 libcom-err2
  libgssapi-krb5-2 libical3 libicu72 libjansson4 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0
  libnsl2 libpcre3 libpq5 libsqlite3-0 libtirpc3 libwrap0 libxapian30 libxml2)
(cd "$folder" && apt-get download -qq "${packages[@]}" 2>/dev/null)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
lib=$folder/root/usr/lib
export LD_LIBRARY_PATH=$lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu SASL_PATH=$lib/x86_64-linux-gnu/sasl2
start() {
  own=$folder/$1
  mkdir -p "$own/lib" "$own/store"
  cat >"$own/imapd.conf" <<END
configdirectory: $own/lib
partition-default: $own/store
defaultpartition: default
servername: localhost
lmtpsocket: $own/lmtp
cyrus_user: daemon
END
  cat >"$own/cyrus.conf" <<END
START {
}
SERVICES {
  lmtp cmd="$lib/cyrus/bin/lmtpd -C $own/imapd.conf" listen="127.0.0.1:$2" prefork=0
}
EVENTS {
}
END
  chown -R daemon "$own"
  "$folder/root/usr/sbin/cyrmaster" -C "$own/imapd.conf" -M "$own/cyrus.conf" -p "$own/pid" </dev/null &
}
start one 19911
one=$!
start two 19912
two=$!
sleep 3
kill -0 "$one" && kill -0 "$two" || { echo "they do not start"; exit 2; }
kill -TERM "$one"
sleep 2
if kill -0 "$two" 2>/dev/null; then
  echo "the other one lives"
  kill -TERM "$two"
  status=1
else
  echo "the other one is gone, too"
  status=0
fi
exit "$status"
