#!/usr/bin/env bash
# GNU SASL 2.2.0 (Debian 12: gsasl and libgsasl18 2.2.0-1+deb12u2) under TLS 1.3.
#
# Guess: `gsasl --mechanism=SCRAM-SHA-256` over TLS makes an exchange without channel binding, for the
# mechanism without -PLUS has none: its first message begins with `n,,` or `y,,` (RFC 5802 section 6).
#
# Seen: as soon as TLS has a binding to give, the client ends with "mechanism error: Error
# authenticating user" in place of its first message; the server hears nothing of why. With --no-cb it
# says `n,,n=user,r=...`, and with SCRAM-SHA-256-PLUS `p=tls-exporter,,n=user,r=...`. So a server that
# offers both cannot be logged in to by the plain one unless the user knows of --no-cb.
#
# Installs the packages in a temporary folder, needs network, apt-get, openssl and python3. Exit
# status 0: it is still so.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq gsasl=2.2.0-1+deb12u2 libgsasl18=2.2.0-1+deb12u2 libntlm0 libidn12 libgssglue1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$PWD/root/usr/lib/x86_64-linux-gnu
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out crt -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost 2>/dev/null

# Takes one client after the other, offers both mechanisms behind STARTTLS, and shows the first message.
cat >server.py <<'END'
import base64, socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("crt", "key")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    plain, _ = listener.accept()
    peer = plain
    say = lambda text: peer.sendall(text.encode() + b"\r\n")
    def hear():
        line = b""
        while not line.endswith(b"\n"):
            octet = peer.recv(1)
            if not octet:
                break
            line += octet
        return line.decode().strip()
    say("220 localhost ESMTP")
    hear(); say("250-localhost\r\n250-STARTTLS\r\n250 HELP")
    hear(); say("220 go ahead")
    peer = context.wrap_socket(plain, server_side=True)
    hear(); say("250-localhost\r\n250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256\r\n250 HELP")
    hear(); say("334 ")
    first = hear()
    print("first message:", base64.b64decode(first).decode() if first else "none", flush=True)
    peer.close()
END
python3 server.py >said & server=$!
for _ in $(seq 50); do [ -s said ] && break; sleep 0.1; done
port=$(head -n 1 said)

client() {
  timeout 20 root/usr/bin/gsasl --smtp --connect="localhost:$port" --x509-ca-file=crt \
    --authentication-id=user --password=secret "$@" >out 2>&1 </dev/null || true
}
root/usr/bin/gsasl --version | head -n 1
for arguments in --mechanism=SCRAM-SHA-256 "--mechanism=SCRAM-SHA-256 --no-cb" --mechanism=SCRAM-SHA-256-PLUS; do
  # shellcheck disable=SC2086
  client $arguments
  sleep 0.3
  echo "gsasl $arguments: $(tail -n 1 said); $(grep -o 'mechanism error.*' out || echo 'no error before it')"
done | tee seen

grep -q 'SCRAM-SHA-256: first message: none; mechanism error: Error authenticating user' seen
grep -q -- '--no-cb: first message: n,,n=user,r=' seen
grep -q 'PLUS: first message: p=tls-exporter,,n=user,r=' seen
echo "as described"
