#!/usr/bin/env bash
# Cyrus SASL 2.1.28 (Debian 12: libsasl2-modules 2.1.28+dfsg-10) in Cyrus IMAP 3.6.1, behind TLS 1.3.
#
# Guess: a server that offers SCRAM-SHA-256-PLUS on TLS 1.3 binds proofs to tls-exporter (RFC 9266), for
# tls-unique is not defined there.
#
# Seen: -PLUS is offered behind any TLS as soon as sasl_mech_list has SCRAM-SHA-256, the binding is
# tls-unique on TLS 1.3, too, and a first message that begins with `p=tls-exporter,,` is refused with
# "501 5.5.4 undefined error!". `n,,` is taken for SCRAM-SHA-256. So a client whose only binding is
# tls-exporter has to try again without one.
#
# Installs the packages in a temporary folder, needs root, network, apt-get, openssl and Debian's own python3.
# Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'kill -TERM "${master:-}" 2>/dev/null; sleep 1; rm -rf "$folder"' EXIT
chmod 755 "$folder"
packages=(cyrus-common=3.6.1-4+deb12u5 libsasl2-2=2.1.28+dfsg-10 libsasl2-modules=2.1.28+dfsg-10 libsasl2-modules-db libdb5.3 libcom-err2
  libgssapi-krb5-2 libical3 libicu72 libjansson4 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0
  libnsl2 libpcre3 libpq5 libsqlite3-0 libtirpc3 libwrap0 libxapian30 libxml2)
(cd "$folder" && apt-get download -qq "${packages[@]}" 2>/dev/null)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
lib=$folder/root/usr/lib
export LD_LIBRARY_PATH=$lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu SASL_PATH=$lib/x86_64-linux-gnu/sasl2
mkdir "$folder/lib" "$folder/store"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$folder/key" -out "$folder/crt" -days 2 \
  -subj /CN=localhost 2>/dev/null
/usr/bin/python3 -c "import dbm.ndbm
with dbm.ndbm.open('$folder/users', 'c') as users: users[b'cyrus\0localhost\0userPassword'] = b'secret'"
cat >"$folder/imapd.conf" <<END
configdirectory: $folder/lib
partition-default: $folder/store
defaultpartition: default
servername: localhost
lmtpsocket: $folder/lmtp
cyrus_user: daemon
admins: cyrus
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: $folder/users.db
sasl_mech_list: SCRAM-SHA-256
tls_server_cert: $folder/crt
tls_server_key: $folder/key
END
cat >"$folder/cyrus.conf" <<END
START {
}
SERVICES {
  lmtp cmd="$lib/cyrus/bin/lmtpd -C $folder/imapd.conf" listen="127.0.0.1:19913" prefork=0
}
EVENTS {
}
END
chown -R daemon "$folder"
setsid "$folder/root/usr/sbin/cyrmaster" -C "$folder/imapd.conf" -M "$folder/cyrus.conf" -p "$folder/pid" </dev/null &
master=$!
sleep 3
/usr/bin/python3 - <<'END'
import base64, hashlib, hmac, socket, ssl, sys
context = ssl._create_unverified_context()
b64 = lambda octets: base64.b64encode(octets).decode()
sign = lambda key, text: hmac.new(key, text, hashlib.sha256).digest()
def login(name, binds):
    plain = socket.create_connection(("127.0.0.1", 19913))
    peer = plain
    def ask(line):
        if line:
            peer.sendall(line.encode() + b"\r\n")
        text = b""
        while True:
            line = b""
            while not line.endswith(b"\n"):
                line += peer.recv(1)
            text += line
            if line[3:4] != b"-":
                return text.decode()
    for line in ["", "LHLO x", "STARTTLS"]:
        ask(line)
    peer = context.wrap_socket(plain)
    offered = [line[4:] for line in ask("LHLO x").splitlines() if "AUTH" in line]
    header = f"p={name},," if name else "n,,"
    bare = "n=cyrus,r=fyko+d2lbbFgONRv9qkxdawL"
    mechanism = "SCRAM-SHA-256-PLUS" if name else "SCRAM-SHA-256"
    said = base64.b64decode(ask(f"AUTH {mechanism} " + b64((header + bare).encode()))[4:]).decode()
    fields = dict(field.split("=", 1) for field in said.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", base64.b64decode(fields["s"]), int(fields["i"]))
    binding = peer.get_channel_binding("tls-unique") if binds else b""
    last = "c=" + b64(header.encode() + binding) + ",r=" + fields["r"]
    key = sign(salted, b"Client Key")
    proof = sign(hashlib.sha256(key).digest(), f"{bare},{said},{last}".encode())
    proof = b64(bytes(a ^ b for a, b in zip(key, proof)))
    return peer.version(), offered, ask(b64(f"{last},p={proof}".encode())).strip()
answers = []
for name, binds in [("", False), ("tls-unique", True), ("tls-exporter", True), ("tls-exporter", False)]:
    version, offered, reply = login(name, binds)
    print(version, offered, name, binds, "->", reply[:40])
    answers.append(reply[:3])
sys.exit(0 if answers == ["334", "334", "501", "501"] else 1)
END
