#!/bin/sh
# Makes the passwords of compose.yaml, once. Nothing is made twice.
set -eu
cd "$(dirname "$0")"
if [ -e secrets ]; then
  echo "secrets: the folder is there already; remove it to make new ones (the database then refuses the old data's owner)" >&2
  exit 1
fi
umask 077
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
mkdir secrets.new
db=$(random)
bus=$(random)
printf '%s' "$db" > secrets.new/postgres
printf 'postgres://siaga:%s@postgres:5432/siaga?sslmode=disable' "$db" > secrets.new/database
printf 'nats://siaga:%s@nats:4222' "$bus" > secrets.new/nats
cat > secrets.new/nats.conf <<CONF
port: 4222
jetstream { store_dir: /data, sync_interval: always, max_file_store: 4GB }
authorization { users: [ { user: siaga, password: "$bus" } ] }
CONF
# The containers run as other users than the one who made these files, and are
# given each file by itself. Nobody else on this machine gets past the folder.
chmod 0644 secrets.new/*
chmod 0700 secrets.new
mv secrets.new secrets
echo "secrets: made secrets/; keep it out of backups that others read" >&2
