# Stands in for prom/prometheus: the server, its folder, and what its health check asks with.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends prometheus wget >/dev/null && \
    rm -rf /var/lib/apt/lists/* && install -d -o 65534 -g 65534 /prometheus
ENTRYPOINT ["prometheus"]
