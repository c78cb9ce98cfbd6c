# One image for every process of the cloud; the command chooses. Base: any Debian with Python 3.11.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/stratuslab \
    && useradd --system --create-home --home-dir /data stratuslab

COPY . /src
RUN /opt/stratuslab/bin/pip install --no-cache-dir -c /src/constraints.txt /src && rm -rf /src

ENV PATH=/opt/stratuslab/bin:$PATH
USER stratuslab
VOLUME /data
EXPOSE 8400
CMD ["stratuslab", "up", "--data", "/data/cloud", "--listen", "0.0.0.0", "--hypervisor", "simulated"]
