# Stands in for postgres: the same user, folders, first start and settings by command.
ARG BASE
FROM ${BASE}
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres && \
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends postgresql >/dev/null && \
    rm -rf /var/lib/apt/lists/* && \
    mkdir -p /docker-entrypoint-initdb.d && install -d -o 999 -g 999 /var/lib/postgresql/data && \
    install -d -m 3777 -o 999 -g 999 /var/run/postgresql
ENV PATH=$PATH:/usr/lib/postgresql/15/bin
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
