# Stands in for apache/kafka: the same jars, the two programs that start.sh calls, the same user and folders.
ARG JAVA
FROM ${JAVA}
COPY lib /opt/kafka/libs
RUN mkdir -p /opt/kafka/bin /var/lib/kafka/data && chown -R 1000:0 /var/lib/kafka && \
    printf '#!/bin/sh\nexec java -Xmx96m -XX:TieredStopAtLevel=1 -cp "/opt/kafka/libs/*" kafka.tools.StorageTool "$@"\n' \
      >/opt/kafka/bin/kafka-storage.sh && \
    printf '#!/bin/sh\nexec java $KAFKA_HEAP_OPTS -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "/opt/kafka/libs/*" kafka.Kafka "$@"\n' \
      >/opt/kafka/bin/kafka-server-start.sh && chmod +x /opt/kafka/bin/*.sh
