#!/bin/sh
# At the first start: a database for each service, an owning role that migrates it and a running role that may
# connect and no more; `feedgate migrate --running-role` gives it what the service needs.
set -eu
for service in registry access_policy audit; do
    # By standard input: `ps` shows arguments. The passwords are our own, letters, digits, `-` and `_`.
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<EOF
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE ROLE ${service}_owner LOGIN PASSWORD '$(cat "/run/feedgate/roles/${service}_owner")';
CREATE ROLE ${service} LOGIN PASSWORD '$(cat "/run/feedgate/roles/${service}")';
CREATE DATABASE ${service} OWNER ${service}_owner;
REVOKE ALL ON DATABASE ${service} FROM PUBLIC;
GRANT CONNECT ON DATABASE ${service} TO ${service};
EOF
done
