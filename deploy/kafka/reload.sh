#!/bin/sh
# Kafka reads its certificate again, for new connections of services and agencies; it alone is asked, and nobody is cut off.
#   KAFKA_INSIDE: host:port of this broker, as services reach it. What follows is as in docker-compose.yml unless told:
#   KAFKA_BIN, KAFKA_SECRETS (node.pem, ca.pem and the administrator's password `admin`), KAFKA_NODE, KAFKA_LISTENERS.
set -eu
umask 077
secrets=${KAFKA_SECRETS:-/run/feedgate}
properties=$(mktemp)
trap 'rm -f "$properties"' EXIT
cat >"$properties" <<END
security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location=$secrets/ca.pem
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$(cat "$secrets/admin")";
END
changes=
for listener in ${KAFKA_LISTENERS:-clients agencies}; do
    changes="$changes${changes:+,}listener.name.$listener.ssl.keystore.location=$secrets/node.pem"
done
"${KAFKA_BIN:-/opt/kafka/bin}/kafka-configs.sh" --bootstrap-server "$KAFKA_INSIDE" --command-config "$properties" \
    --alter --entity-type brokers --entity-name "${KAFKA_NODE:-1}" --add-config "$changes"
