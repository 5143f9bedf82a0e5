#!/usr/bin/env bash
# Start Keycloak and import the realms, once every secret they name is known: one that Keycloak cannot fill in
# would stay as it stands in the file, where everybody can read it. NAME may be a file that NAME_FILE names.
set -euo pipefail
home=${KC_HOME:-/opt/keycloak}

for file in "$home"/data/import/*.json; do
    text=$(<"$file")
    while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
        name=${BASH_REMATCH[1]}
        text=${text//"${BASH_REMATCH[0]}"/}
        given_file=${name}_FILE
        if [[ -z ${!name:-} && -n ${!given_file:-} ]]; then
            export "$name=$(<"${!given_file}")"
        fi
        if [[ -z ${!name:-} ]]; then
            echo "$name is not set, and ${file##*/} needs it; allowed: a value, or a file that ${name}_FILE names" >&2
            exit 2
        fi
    done
done
exec "$home/bin/kc.sh" "$@" --import-realm
