# Stands in for quay.io/keycloak/keycloak: the same distribution, user and folders.
ARG JAVA
FROM ${JAVA}
COPY . /opt/keycloak
RUN mkdir -p /opt/keycloak/data && chown -R 1000:0 /opt/keycloak
ENV JAVA_OPTS_KC_HEAP="-Xms64m -Xmx400m" JAVA_OPTS_APPEND="-XX:TieredStopAtLevel=1"
