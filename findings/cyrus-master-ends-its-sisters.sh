#!/usr/bin/env bash
# Cyrus IMAP 3.6.1 (Debian 12: cyrus-common 3.6.1-4+deb12u5), two masters started side by side.
#
# Guess: SIGTERM to the master of one instance ends that one and its children.
#
# Seen: it ends both. Without -d a master stays in the process group of whoever started it, and on
# SIGTERM it signals the whole group; all processes of the same user (cyrus) end, masters of other
# instances among them, with exit status 0 and no word. Each has to be started in a group of its own.
#
# Needs root and cyrus-common. Exit status 0: it is still so.
set -uo pipefail
start() {
  folder=/tmp/cyrus-sister-$1
  rm -rf "$folder"
  mkdir -p "$folder/lib" "$folder/store"
  cat >"$folder/imapd.conf" <<END
configdirectory: $folder/lib
partition-default: $folder/store
defaultpartition: default
servername: localhost
lmtpsocket: $folder/lmtp
END
  cat >"$folder/cyrus.conf" <<END
START {
}
SERVICES {
  lmtp cmd="lmtpd -C $folder/imapd.conf" listen="127.0.0.1:$2" prefork=0
}
EVENTS {
}
END
  chown -R cyrus:mail "$folder"
  /usr/sbin/cyrmaster -C "$folder/imapd.conf" -M "$folder/cyrus.conf" -p "$folder/pid" </dev/null &
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
rm -rf /tmp/cyrus-sister-one /tmp/cyrus-sister-two
exit "$status"
