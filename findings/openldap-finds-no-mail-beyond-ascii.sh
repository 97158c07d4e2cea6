#!/usr/bin/env bash
# OpenLDAP 2.5.13 (Debian 12: slapd, ldap-utils and libldap-2.5-0 2.5.13+dfsg-5), /etc/ldap/schema/cosine.schema.
#
# Guess: `mail` is an IA5 string (RFC 4524 section 2.16), so no entry comes to have an address beyond ASCII in
# it; who tries is told.
#
# Seen: ldapadd is told, "Invalid syntax (21)". slapadd takes the same entry without a word, with -q and without,
# and shows it; but (mail=jörg@grüße.example) finds nothing, and the result is success, not an error. A directory
# that was loaded from a file answers "no such user" for everybody with such an address, and a mail relay bounces.
#
# Installs the packages in a temporary folder, needs network and apt-get. Exit status 0: it is still so.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
version=2.5.13+dfsg-5
apt-get download -qq slapd=$version ldap-utils=$version libldap-2.5-0=$version libodbc2 libltdl7 libwrap0 \
  libnsl2 libperl5.36 libsasl2-2 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$PWD/root/usr/lib/x86_64-linux-gnu

mkdir db
schema=$PWD/root/etc/ldap/schema
cat >slapd.conf <<END
include $schema/core.schema
include $schema/cosine.schema
include $schema/inetorgperson.schema
modulepath $PWD/root/usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin
directory $PWD/db
END
entry() {
  printf 'dn: uid=%s,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: %s\ncn: x\nsn: x\nmail:: %s\n\n' \
    "$1" "$1" "$(printf 'jörg@grüße.example' | base64)"
}
{ printf 'dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n'; entry loaded; } >tree.ldif
root/usr/sbin/slapadd -f slapd.conf -l tree.ldif 2>/dev/null && echo 'slapadd: taken' | tee seen
port=$((20000 + RANDOM % 10000))
root/usr/sbin/slapd -d 0 -f slapd.conf -h "ldap://127.0.0.1:$port/" >/dev/null 2>&1 & server=$!

ask() {
  root/usr/bin/ldapsearch -x -H "ldap://127.0.0.1:$port" -b dc=example,dc=org "$1" 1.1
}
for _ in $(seq 50); do ask '(dc=example)' >/dev/null 2>&1 && break; sleep 0.1; done
root/usr/sbin/slapd -VV 2>&1 | grep -o 'slapd [0-9.]*' | head -n 1
said=$(entry added | root/usr/bin/ldapadd -x -H "ldap://127.0.0.1:$port" -D cn=admin,dc=example,dc=org \
  -w admin 2>&1 || true)
grep -o 'Invalid syntax (21)' <<<"$said" | tee -a seen
for filter in '(uid=loaded)' '(mail=jörg@grüße.example)'; do
  found=$(ask "$filter")
  echo "$filter: $(grep -c '^dn: uid=' <<<"$found" || true) entries, $(grep '^result:' <<<"$found")"
done | tee -a seen

grep -q '^slapadd: taken' seen
grep -q '^Invalid syntax (21)' seen
grep -q '^(uid=loaded): 1 entries, result: 0 Success' seen
grep -q '^(mail=jörg@grüße.example): 0 entries, result: 0 Success' seen
echo "as described"
