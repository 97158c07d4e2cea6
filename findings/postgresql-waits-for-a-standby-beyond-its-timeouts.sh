#!/usr/bin/env bash
# PostgreSQL 15.20 (Debian 12: postgresql-15 15.20-0+deb12u1) with synchronous_standby_names set and no such
# standby connected.
#
# Guess: statement_timeout bounds an INSERT that commits by itself, the wait for the standby included; and
# an INSERT whose wait was cancelled has failed.
#
# Seen: with statement_timeout, lock_timeout and transaction timeouts of a second the INSERT still waits after
# six. pg_cancel_backend ends the wait with "INSERT 0 1" and success for the client, and a WARNING (01000)
# beside it: the row is on this server alone. A client that wants to be sure of two servers has to bound the
# wait itself, and to take the warning for "unknown".
#
# Installs the packages in a temporary folder, needs network, apt-get and setpriv. Exit status 0: it is still so.
set -uo pipefail
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'kill "$(head -1 "$folder/data/postmaster.pid" 2>/dev/null)" 2>/dev/null; sleep 1; rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download -qq postgresql-15=15.20-0+deb12u1 postgresql-client-15=15.20-0+deb12u1 \
    libpq5=15.20-0+deb12u1 libxml2 libicu72 libldap-2.5-0 libsasl2-2 2>/dev/null &&
    for package in *.deb; do dpkg -x "$package" root; done)
bin=$folder/root/usr/lib/postgresql/15/bin
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
as_user=()
if [ "$(id -u)" = 0 ]; then
    chown nobody "$folder"
    as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
"${as_user[@]}" "$bin/initdb" -D "$folder/data" -A trust -U me >/dev/null
cat >>"$folder/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$folder'
synchronous_standby_names = 'away'
END
"${as_user[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/data/log" -w start >/dev/null
sql() { "$bin/psql" -h "$folder" -U me -d postgres -X -A -t "$@"; }
sql -q -c "set synchronous_commit = local" -c "create table mail (id int primary key)"
timeouts="set statement_timeout = '1s'; set lock_timeout = '1s'; set idle_in_transaction_session_timeout = '1s'"
sql -c "$timeouts" -c "insert into mail values (1)" >"$folder/said" 2>&1 &
client=$!
sleep 6
waits=$(sql -c "select wait_event from pg_stat_activity where query like 'insert into mail%' and state = 'active'")
sql -q -c "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'" >/dev/null
wait "$client"
status=$?
echo "after 6 s: $waits; then status $status and:"
cat "$folder/said"
[ "$waits" = SyncRep ] && [ "$status" = 0 ] && grep -q '^INSERT 0 1' "$folder/said" &&
    grep -q 'WARNING:  canceling wait for synchronous replication' "$folder/said" &&
    [ "$(sql -c 'select count(*) from mail')" = 1 ]
