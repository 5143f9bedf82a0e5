# What the stand-ins for Kafka and Keycloak run on.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends openjdk-17-jre-headless >/dev/null && \
    rm -rf /var/lib/apt/lists/*
