#!/usr/bin/env bash
# mpack 1.6 (Debian 12: mpack 1.6-18+b1), `mpack` and `munpack`, message/partial (RFC 2046 section 5.2.2).
#
# Guesses:
#   1. munpack puts together what mpack has split, in any order of the pieces.
#   2. It does so whether `total` stands in the last piece alone or in all of them.
#   3. Pieces of `mpack -m 20000` have at most 20,000 octets, as its manual says.
#
# Seen: 1. of pieces that mpack has made munpack takes the first that it sees; from each other one it says
# "Did not find anything to unpack" (a file CT of its own is there already), and no file comes of it, with
# exit status 0. 2. It puts together two pieces of which one alone has `total`, and none where both have it,
# as mpack writes it. 3. They have 20,100 and more, and another octet a line once they are sent.
#
# Installs the package in a temporary folder, needs network and apt-get. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder/parts
mkdir "$folder/parts" "$folder/work"
(cd "$folder" && apt-get download -qq mpack=1.6-18+b1 2>/dev/null)
dpkg -x "$folder"/mpack_*.deb "$folder/root"
export PATH=$folder/root/usr/bin:$PATH
cd "$folder/work" || exit 2
failed=0
expect() {
    echo "$1: $2"
    [ "$2" = "$3" ] || { echo "wanted: $3"; failed=1; }
}

head -c 100000 /dev/urandom >file.bin
mpack -s 'a file' -m 20000 -o piece file.bin || exit 2
expect 'a piece is above the maximum' "$([ -n "$(find . -name 'piece.*' -size +20000c)" ] && echo yes || echo no)" yes
# The pieces in the order of their arguments; whether the file comes of them.
joined() {
    rm -rf "$TMPDIR"/* out
    mkdir out
    for piece in "$@"; do (cd out && munpack "../$piece" >>../said 2>&1) || echo "status $?"; done
    [ -n "$(ls out)" ] && echo yes || echo no
}
expect 'pieces of mpack in order' "$(joined piece.*)" no
mapfile -t reversed < <(printf '%s\n' piece.* | sort -r)
expect 'the last first' "$(joined "${reversed[@]}")" no
expect 'it says that it finds nothing' "$(grep -q 'Did not find anything' said && echo yes || echo no)" yes

# Two pieces of a text; what stands behind the number in each.
pair() {
    printf 'MIME-Version: 1.0\nContent-Type: message/partial; id="a"; number=1%s\n\n%s\n%s\n\nfirst\n' "$1" \
        'MIME-Version: 1.0' 'Content-Type: text/plain; name=one.txt' >one
    printf 'MIME-Version: 1.0\nContent-Type: message/partial; id="a"; number=2%s\n\nsecond\n' "$2" >two
}
pair '' '; total=2'
expect 'total in the last' "$(joined two one)" yes
pair '; total=2' '; total=2'
expect 'total in both' "$(joined two one)" no
# The same pieces by Python's parser: they are valid, and make the file.
python3 - file.bin piece.* <<'END' || failed=1
import email, sys
bodies = [email.message_from_bytes(open(name, 'rb').read()) for name in sorted(sys.argv[2:])]
assert all(piece.get_content_type() == 'message/partial' for piece in bodies)
text = b''.join(open(name, 'rb').read().split(b'\n\n', 1)[1] for name in sorted(sys.argv[2:]))
parts = [part for part in email.message_from_bytes(text).walk() if part.get_filename()]
assert parts[0].get_payload(decode=True) == open(sys.argv[1], 'rb').read()
print('joined by hand: the file')
END
exit $failed
