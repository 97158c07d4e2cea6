#!/usr/bin/env bash
# Dovecot 2.3.19.1 (Debian 12: dovecot-lmtpd 1:2.3.19.1+dfsg1-2.1+deb12u7), LMTP, Maildir, with
# `recipient_delimiter = +`, `lmtp_save_to_detail_mailbox = yes` and `lda_mailbox_autocreate = yes`.
#
# Guesses: mail for `jdoe+FOLDER` lies in the folder, which is made, or RCPT or the reply behind the data
# says why it does not. `/` is between levels, or part of a name, or refused. By its defaults (detail
# mailboxes off) Dovecot refuses the detail, or says where the message is.
#
# Seen: `Work`, `Work.Deep` (the separator of Maildir) and `a b` are made and filled. For `Work/Deep` and `a b..c` each
# reply is 250, the one behind the data ends in "Saved", and the message is in the INBOX. With detail
# mailboxes off `jdoe+Work` is answered the same, and lies in the INBOX. Whoever files over LMTP has no
# way to learn of it.
#
# Installs the packages in a temporary folder; needs network, apt-get and root. Exit status 0: it is still so.
set -uo pipefail
[ "$(id -u)" = 0 ] || { echo 'needs root'; exit 2; }
folder=$(mktemp -d)
version=1:2.3.19.1+dfsg1-2.1+deb12u7
chmod 755 "$folder"
(cd "$folder" && apt-get download -qq dovecot-lmtpd=$version dovecot-core=$version libexttextcat-2.0-0 2>/dev/null)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/dovecot:$folder/root/usr/lib/x86_64-linux-gnu
cat >"$folder/dovecot.conf" <<END
base_dir = $folder/run
state_dir = $folder/run
libexec_dir = $folder/root/usr/lib/dovecot
mail_plugin_dir = $folder/root/usr/lib/dovecot/modules
log_path = $folder/log
protocols = lmtp
ssl = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
first_valid_uid = 1
first_valid_gid = 0
mail_location = maildir:$folder/home/%n/Maildir
import_environment = LD_LIBRARY_PATH
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$folder/home/%n allow_all_users=yes
}
service lmtp {
  unix_listener $folder/lmtp {
    mode = 0666
  }
}
END
mkdir "$folder/home"
chown nobody:nogroup "$folder/home"
start() {
    "$folder/root/usr/sbin/dovecot" -F -c "$folder/dovecot.conf" & server=$!
    trap 'kill $server 2>/dev/null; wait; rm -rf "$folder"' EXIT
    for _ in $(seq 100); do [ -S "$folder/lmtp" ] && break; sleep 0.1; done
}
start
failed=0
# Delivers to a folder, and looks where the message is: which replies, which directory.
file() {
    local got
    got=$(python3 - "$folder" "$1" "$2" <<'END'
import os, socket, sys
folder, user, detail = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.connect(folder + '/lmtp')
lines = s.makefile('rb')
def reply():
    while True:
        line = lines.readline().decode()
        if line[3:4] != '-':
            return line
def say(text):
    s.sendall(text.encode() + b'\r\n')
    return reply()
reply()
say('LHLO client.test'); say('MAIL FROM:<a@b.test>')
to = f'"{user}+{detail}"@d.test'
replies = [say(f'RCPT TO:<{to}>')]
if replies[0].startswith('250'):
    say('DATA')
    replies.append(say('Subject: x\r\n\r\nx\r\n.'))
home = f'{folder}/home/{user}/Maildir'
found = [os.path.relpath(at, home) for at, _, files in os.walk(home) if os.path.basename(at) == 'new' and files]
words = ' '.join('Saved' if line.rstrip().endswith('Saved') else line[:3] for line in replies)
print(words, *(os.path.dirname(at) or 'INBOX' for at in found))
END
    )
    echo "$2: $got"
    [ "$got" = "$3" ] || { echo "wanted: $3"; failed=1; }
}
file one Work '250 Saved .Work'
file two Work.Deep '250 Saved .Work.Deep'
file three 'a b' '250 Saved .a b'
file four Work/Deep '250 Saved INBOX'
file five 'a b..c' '250 Saved INBOX'
kill $server
wait $server
sed -i 's/^lmtp_save_to_detail_mailbox = yes/lmtp_save_to_detail_mailbox = no/' "$folder/dovecot.conf"
start
file six Work '250 Saved INBOX'
exit $failed
