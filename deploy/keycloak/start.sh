#!/bin/sh
# Keycloak with Feedgate's realms, imported at the first start; every secret comes from a file.
#   PUBLIC_ORIGIN      where browsers find Feedgate; Keycloak is at /identity there
#   FEEDGATE_REALMS    `realms`; `demo` for users with passwords for good, never with real cameras
set -eu
case $FEEDGATE_REALMS in realms | demo) ;; *)
    echo "FEEDGATE_REALMS: saw \`$FEEDGATE_REALMS\`; allowed: realms, demo" >&2
    exit 2 ;;
esac
# A placeholder that nothing fills would stay as it is: a secret that everybody can read in the realm's file.
for name in FIRST_PASSWORD DEMO_PASSWORD AGENCY_SYSTEM_CLIENT_SECRET INGEST_CLIENT_SECRET RELAY_CLIENT_SECRET; do
    file=/run/feedgate/$(echo "$name" | tr '[:upper:]' '[:lower:]')
    [ -s "$file" ] || { echo "$file is missing; the setup job makes it" >&2; exit 2; }
    export "$name=$(cat "$file")"
done
KC_BOOTSTRAP_ADMIN_USERNAME=admin
KC_BOOTSTRAP_ADMIN_PASSWORD=$(cat /run/feedgate/admin_password)
export KC_BOOTSTRAP_ADMIN_USERNAME KC_BOOTSTRAP_ADMIN_PASSWORD PUBLIC_ORIGIN

mkdir -p /opt/keycloak/data/import
cp "/etc/feedgate/$FEEDGATE_REALMS"/*.json /opt/keycloak/data/import/
exec /opt/keycloak/bin/kc.sh start --import-realm --db=dev-file --cache=local \
    --http-enabled=true --http-host=keycloak.public --http-port=8080 --http-relative-path=/identity \
    --hostname="$PUBLIC_ORIGIN/identity" --proxy-headers=xforwarded --health-enabled=false
