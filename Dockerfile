# The demo in a container, on a CPU: docker build -t vosbench . && docker run --rm vosbench
# What it writes stays if a folder is mounted: docker run --rm -v "$PWD/runs:/home/demo/vosbench/runs" vosbench
FROM python:3.12-slim

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 demo

USER 1000
RUN mkdir /home/demo/vosbench
WORKDIR /home/demo/vosbench

# The marker tells make that the environment is there: the demo needs nothing that only development needs.
COPY --chown=1000:1000 . .
# --build-arg PIP_EXTRA_INDEX_URL=<address of builds without CUDA, from pytorch.org> makes the image 4 GB smaller.
ARG PIP_EXTRA_INDEX_URL=""
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --constraint constraints.txt --editable . \
    && touch .venv/.installed

CMD ["make", "demo"]
