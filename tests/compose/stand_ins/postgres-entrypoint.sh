#!/bin/sh
# What the official image does at its first start, as far as this stack asks for it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata="$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth=trust \
        --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    pg_ctl --pgdata="$PGDATA" --wait --silent --options="-c listen_addresses=''" start
    for script in /docker-entrypoint-initdb.d/*.sh; do "$script"; done
    pg_ctl --pgdata="$PGDATA" --wait --silent --mode=fast stop
fi
exec "$@"
