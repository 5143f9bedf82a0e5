#!/bin/sh
# Kafka, with its first user made at the first start; its password crosses no command line.
#   KAFKA_INSIDE, KAFKA_OUTSIDE: host:port that services and agencies connect to.
set -eu
umask 077
properties=/tmp/server.properties
cat /etc/feedgate/server.properties >"$properties"
echo "advertised.listeners=CLIENTS://$KAFKA_INSIDE,AGENCIES://$KAFKA_OUTSIDE,NODES://localhost:9095" >>"$properties"

# One argument a line, which the tool reads from the file.
cat >/tmp/format <<EOF
format
--ignore-formatted
--cluster-id=$(cat /run/feedgate/cluster-id)
--config=$properties
--add-scram=SCRAM-SHA-512=[name=admin,password=$(cat /run/feedgate/admin)]
EOF
/opt/kafka/bin/kafka-storage.sh @/tmp/format >/tmp/format.log || { cat /tmp/format.log >&2; exit 1; }
rm /tmp/format
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
