#!/bin/sh
# What the public image's entry does, as far as the compose file uses it.
set -eu
chown postgres "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    chown postgres /tmp/password
    # Inside the container nobody needs the password, over the network everybody does.
    gosu postgres initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=trust --encoding=UTF8
    rm /tmp/password
    printf 'CREATE DATABASE %s;\n' "$POSTGRES_DB" | gosu postgres postgres --single postgres
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
fi
exec gosu postgres postgres -c 'listen_addresses=*' "$@"
