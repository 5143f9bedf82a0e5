# Stands in for prom/alertmanager.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends prometheus-alertmanager wget >/dev/null && \
    rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["prometheus-alertmanager"]
