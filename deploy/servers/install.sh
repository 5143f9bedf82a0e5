#!/usr/bin/env bash
# Install what the tests meet, on Debian: packages by apt-get, Kafka and Keycloak by Maven. What is there is left alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

kafka=${FEEDGATE_SERVERS:-.servers}/kafka/lib
pom=deploy/servers/kafka/pom.xml
kafka_is_complete() { cmp --quiet "$pom" "$kafka/.pom.xml"; }

keycloak=${FEEDGATE_SERVERS:-.servers}/keycloak
keycloak_version=26.7.3
keycloak_is_complete() { [[ -x $keycloak/keycloak-$keycloak_version/bin/kc.sh ]]; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
on_path() { command -v "$1" >/dev/null; }

wanted=()
want() { installed "$1" || wanted+=("$1"); }

if ! on_path apt-get; then
    echo "not Debian: install PostgreSQL, Chromium with DejaVu fonts, GStreamer 1.22 with its RTSP server and" >&2
    echo "Python bindings, ffmpeg, libfaketime, kcat, nginx, Prometheus 2.42 with Alertmanager, a JDK 17 and Maven yourself;" >&2
    echo "the tests find them on PATH" >&2
    on_path mvn || exit 1
else
    on_path git || want git
    on_path uv || want python3-venv
    want postgresql
    want chromium
    want fonts-dejavu-core
    want ffmpeg
    want faketime
    want prometheus
    want prometheus-alertmanager
    want python3-gi
    want gir1.2-gst-rtsp-server-1.0
    for set in plugins-base plugins-good plugins-bad plugins-ugly libav tools; do
        want "gstreamer1.0-$set"
    done
    on_path javac || want default-jdk-headless
    want kcat
    on_path nginx || want nginx
    want iproute2
    # An engine for `make compose-test`; it is started there, never here.
    for program in docker.io docker-compose iptables debootstrap; do want "$program"; done
    { kafka_is_complete && keycloak_is_complete; } || on_path mvn || want maven
fi

if ((${#wanted[@]})); then
    install=(apt-get install --yes --quiet --no-install-recommends "${wanted[@]}")
    if ((EUID)); then
        echo "these packages are missing; as root, run:" >&2
        echo "  apt-get update && ${install[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet --quiet </dev/null
    "${install[@]}" </dev/null
fi

if ! kafka_is_complete; then
    echo "fetching Kafka into $kafka"
    rm -rf "$kafka"
    mkdir -p "$kafka"
    mvn --quiet --batch-mode -Dstyle.color=never --file "$pom" \
        dependency:copy-dependencies -DoutputDirectory="$(realpath "$kafka")" </dev/null
    cp "$pom" "$kafka/.pom.xml"  # last: it says that all of what it names is here
fi
if ! keycloak_is_complete; then
    echo "fetching Keycloak $keycloak_version into $keycloak"
    rm -rf "$keycloak"
    mkdir -p "$keycloak/fetched"
    mvn --quiet --batch-mode -Dstyle.color=never dependency:copy \
        -Dartifact="org.keycloak:keycloak-quarkus-dist:$keycloak_version:tar.gz" \
        -DoutputDirectory="$(realpath "$keycloak/fetched")" </dev/null
    tar --extract --gzip --file "$keycloak"/fetched/*.tar.gz --directory "$keycloak/fetched"
    # Its own build step, once here instead of at every start.
    "$keycloak/fetched/keycloak-$keycloak_version/bin/kc.sh" build --db=dev-file --cache=local >/dev/null </dev/null
    mv "$keycloak/fetched/keycloak-$keycloak_version" "$keycloak"  # last: it says that all is here
    rm -r "$keycloak/fetched"
fi
echo "every server is installed"
