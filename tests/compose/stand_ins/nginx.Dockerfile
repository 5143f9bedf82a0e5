# Stands in for nginx: the server, and nobody to run it as.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends nginx >/dev/null && \
    rm -rf /var/lib/apt/lists/*
