#!/usr/bin/env bash
# Pigeonhole 0.5.19 (Debian 12: dovecot-sieve 1:2.3.19.1+dfsg1-2.1+deb12u7), `sieve-test`.
#
# Guesses, each by its RFC:
#   1. ":matches" "a?d*" does not match "abcdef": "?" is one octet (RFC 5228 2.7.1).
#   2. ":matches" "*?*?*?*?*?*?*" matches "onetwo": six octets.
#   3. ":is" "hello" matches a field that is folded right behind its name: blanks around a value do not count
#      (RFC 5228 5.7).
#   4. date with ":index 1 :last" looks at the last field of the name (RFC 5260 6).
#   5. string compares by i;ascii-casemap where no comparator is named (RFC 5228 2.7.3).
#
# Seen: 1. it matches, and so does "abdef" with "a??d*"; "a?d" alone is right. 2. it does not match; with five
# "?" it does. 3. it does not match, and " hello" with the blank does. 4. it looks at the first; header with
# the same arguments is right. 5. it compares by i;octet.
#
# Installs the packages in a temporary folder, needs network and apt-get. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
version=1:2.3.19.1+dfsg1-2.1+deb12u7
(cd "$folder" && apt-get download -qq dovecot-sieve=$version dovecot-core=$version libexttextcat-2.0-0 2>/dev/null)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/dovecot:$folder/root/usr/lib/x86_64-linux-gnu
export PATH=$folder/root/usr/bin:$folder/root/usr/sbin:$PATH
cat >"$folder/dovecot.conf" <<END
base_dir = $folder/run
log_path = /dev/stderr
protocols =
ssl = no
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
first_valid_gid = 0
mail_home = $folder/home
mail_location = maildir:$folder/home/Maildir
mail_plugin_dir = $folder/root/usr/lib/dovecot/modules
END

# Whether a test holds for a message with these fields.
holds() {
    printf 'From: a@b.test\r\n%b\r\n\r\nx\r\n' "$1" >"$folder/message"
    printf 'require ["fileinto", "date", "index", "variables"];\nif %s { fileinto "yes"; }\n' "$2" >"$folder/script.sieve"
    [ "$(id -u)" != 0 ] || chown -R nobody:nogroup "$folder"
    sieve-test -c "$folder/dovecot.conf" -C "$folder/script.sieve" "$folder/message" >"$folder/told" 2>&1
    grep -q 'Performed actions' "$folder/told" || { cat "$folder/told"; exit 2; }
    grep -q 'folder: yes' "$folder/told" && echo yes || echo no
}

failed=0
# What was seen, the fields, the test.
look() {
    local got
    got=$(holds "$2" "$3") || { echo "$got"; exit 1; }
    echo "$got: $2: $3"
    [ "$got" = "$1" ] || failed=1
}
look yes 'Subject: abcdef' 'header :matches "subject" "a?d*"'
look yes 'Subject: abdef' 'header :matches "subject" "a??d*"'
look no 'Subject: abcd' 'header :matches "subject" "a?d"'
look no 'Subject: onetwo' 'header :matches "subject" "*?*?*?*?*?*?*"'
look yes 'Subject: onetwo' 'header :matches "subject" "*?*?*?*?*?*"'
look no 'Subject:\r\n hello' 'header :is "subject" "hello"'
look yes 'Subject:\r\n hello' 'header :is "subject" " hello"'
received='Received: by a; Tue, 1 Apr 2025 09:00:00 +0000\r\nReceived: by b; Tue, 1 Apr 2025 10:00:00 +0000'
look no "$received" 'date :index 1 :last :zone "+0000" "received" "hour" "10"'
look yes "$received" 'date :index 1 :last :zone "+0000" "received" "hour" "09"'
look yes "$received" 'header :index 1 :last :contains "received" "by b"'
look no 'Subject: x' 'string "B" "b"'
look yes 'Subject: x' 'string :comparator "i;ascii-casemap" "B" "b"'
exit $failed
