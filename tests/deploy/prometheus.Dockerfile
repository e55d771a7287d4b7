# Stand in for Prometheus's two images where no registry can be reached: the same paths, Debian's versions.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS server
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus prometheus-node-exporter \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o nobody -g nogroup /prometheus
USER nobody
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["prometheus"]

FROM server AS node
ENTRYPOINT ["prometheus-node-exporter"]
