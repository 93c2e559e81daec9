# Everything that jobs need: Python, this package and the versions that it is tested with. How to
# build and use it: docs/cluster.md.
FROM python:3.11-slim-bookworm

# The results page names the commit that made it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

# Further formats for devices by --build-arg EXTRAS=kubernetes,onnx,executorch,openvino
ARG EXTRAS=kubernetes,onnx
WORKDIR /usr/src/modelswitch
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m pip install --no-cache-dir --disable-pip-version-check \
    -c constraints.txt ".[${EXTRAS}]"

# On Kubernetes jobs run as this user, with apptainer as whoever starts them.
RUN useradd --create-home --uid 1000 modelswitch
USER 1000
WORKDIR /home/modelswitch
