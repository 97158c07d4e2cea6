#!/usr/bin/env bash
# OpenLDAP 2.5.13 (Debian 12: slapd, ldap-utils and libldap-2.5-0 2.5.13+dfsg-5), /etc/ldap/schema/msuser.schema.
#
# Guess: with the schema of Active Directory that comes with slapd, an entry is found by the login name and
# by the addresses that it has: (sAMAccountName=jdoe), (proxyAddresses=smtp:jd@example.org).
#
# Seen: neither finds anything, and the result is success, not an error. None of the 929 attribute types of that
# file has an EQUALITY rule, so the comparison is undefined (RFC 4511 section 4.5.1.7) and no entry matches;
# negated it does not match either, while (sAMAccountName=*) does. Active Directory itself compares both
# without regard to case. A mail relay that asks such a server, or a proxy with this schema, hears "no such
# user" of everybody and bounces; `mail`, which comes from another schema, works and hides it.
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
include $schema/nis.schema
include $schema/inetorgperson.schema
include $schema/msuser.schema
modulepath $PWD/root/usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=example,dc=org"
directory $PWD/db
END
cat >tree.ldif <<'END'
dn: dc=example,dc=org
objectClass: domain
dc: example

dn: cn=Jane Doe,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: extensibleObject
cn: Jane Doe
sn: Doe
mail: jane@example.org
sAMAccountName: jdoe
proxyAddresses: smtp:jd@example.org
END
root/usr/sbin/slapadd -q -f slapd.conf -l tree.ldif
port=$((20000 + RANDOM % 10000))
root/usr/sbin/slapd -d 0 -f slapd.conf -h "ldap://127.0.0.1:$port/" >/dev/null 2>&1 & server=$!

ask() {
  root/usr/bin/ldapsearch -x -H "ldap://127.0.0.1:$port" -b dc=example,dc=org "$1" 1.1
}
for _ in $(seq 50); do ask '(dc=example)' >/dev/null 2>&1 && break; sleep 0.1; done
root/usr/sbin/slapd -VV 2>&1 | grep -o 'slapd [0-9.]*' | head -n 1
types=$(grep -c '^attributetype' "$schema/msuser.schema")
ruled=$(grep -c '^[[:space:]]*EQUALITY' "$schema/msuser.schema" || true)
echo "msuser.schema: $types attribute types, $ruled with an EQUALITY rule" | tee seen
for filter in '(mail=jane@example.org)' '(sAMAccountName=*)' '(sAMAccountName=jdoe)' \
  '(!(sAMAccountName=other))' '(proxyAddresses=smtp:jd@example.org)'; do
  found=$(ask "$filter")
  echo "$filter: $(grep -c '^dn: cn=Jane' <<<"$found" || true) entries, $(grep '^result:' <<<"$found")"
done | tee -a seen

grep -q '^(mail=jane@example.org): 1 entries, result: 0 Success' seen
grep -q '^(sAMAccountName=\*): 1 entries, result: 0 Success' seen
grep -q '^(sAMAccountName=jdoe): 0 entries, result: 0 Success' seen
grep -q '^(!(sAMAccountName=other)): 0 entries, result: 0 Success' seen
grep -q '^(proxyAddresses=smtp:jd@example.org): 0 entries, result: 0 Success' seen
echo "as described"
