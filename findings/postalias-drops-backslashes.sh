#!/usr/bin/env bash
# Postfix 3.7.11 (Debian 12: postfix 3.7.11-0+deb12u1), `postalias`, aliases(5).
#
# Guesses:
#   1. `team: \joe` in an alias file means the user joe, whatever aliases joe has, as `\joe` in a .forward does.
#   2. postmap -q shows a value as it stands in the file.
#
# Seen: postalias drops the backslash. The table has `joe`, and the alias of joe counts: mail for team goes on to
# whomever joe stands for. In quotes it stays. postmap, which takes the same line for a text of its own, keeps it.
#
# Installs the package in a temporary folder, needs network and apt-get. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
(cd "$folder" && apt-get download -qq postfix=3.7.11-0+deb12u1 2>/dev/null)
dpkg -x "$folder"/postfix_*.deb "$folder/root"
root=$folder/root
export LD_LIBRARY_PATH=$root/usr/lib/postfix
cd "$folder" || exit 2
printf 'compatibility_level = 3.6\nmyhostname = a.test\ninet_interfaces = 127.0.0.1\n' >main.cf
printf 'joe: ann\nteam: \\joe\nquoted: "\\\\joe"\n' >aliases
printf 'team \\joe\n' >map
failed=0
expect() {
    echo "$1: $2"
    [ "$2" = "$3" ] || { echo "wanted: $3"; failed=1; }
}
"$root/usr/sbin/postalias" -c "$folder" "hash:$folder/aliases" || exit 2
"$root/usr/sbin/postmap" -c "$folder" "hash:$folder/map" || exit 2
ask() { "$root/usr/sbin/postmap" -c "$folder" -q "$1" "$2"; }
expect 'an alias of postalias' "$(ask team "hash:$folder/aliases")" joe
expect 'the same text by postmap' "$(ask team "hash:$folder/map")" '\joe'
expect 'in quotes' "$(ask quoted "hash:$folder/aliases")" '"\\joe"'
exit $failed
