# Builds the image of one part:
#
#   docker build --build-arg PART=frequency --tag pantree/frequency .
#
# The base image needs Python 3.11 or newer with venv and pip; scripts/constraints.txt was tested with 3.11.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
WORKDIR /src
# The part to build: gateway, pipeline, simulation, vector, frequency, enrichment, recommendation or history.
# Or batch: the command line, for the nightly batch.
ARG PART
# The extras to install, separated by commas. The default is the extra of the part.
ARG EXTRAS=${PART}
# /opt/pantree goes into the image. It has no pip, because a running image installs nothing.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/pantree
COPY . .
# All distributions of Pantree come from this checkout: no index has to know them.
# This stage needs a shell, for PART and EXTRAS. The final stage does not.
RUN /build/bin/pip install --no-cache-dir --constraint scripts/constraints.txt hatchling && \
    /build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels ./gen ./runtime ./clients/python . && \
    /build/bin/python scripts/install_with_hashes.py /opt/pantree/bin/python /wheels \
    "${EXTRAS:?pass the part to build, such as --build-arg PART=frequency}"
# An ENTRYPOINT does not expand arguments, so this script holds the part's name.
RUN case "${PART}" in batch) package=cli ;; *) package="${PART}" ;; esac && \
    printf '#!/opt/pantree/bin/python\nimport runpy\nrunpy.run_module("pantree_%s", run_name="__main__", alter_sys=True)\n' \
    "${package}" > /opt/pantree/bin/serve && chmod 755 /opt/pantree/bin/serve
# Fills numba's cache, which is stored next to the modules, so that a pod does not compile on every start.
RUN case "${PART}" in simulation|frequency|recommendation) /opt/pantree/bin/serve --demo ;; esac
RUN case "${PART}" in batch) \
    /opt/pantree/bin/serve simulate /tmp/purchases.parquet --households 20 && \
    /opt/pantree/bin/serve batch nightly /tmp/purchases.parquet /tmp/nights --buckets 1 --workers 1 ;; esac

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
COPY --from=build /opt/pantree /opt/pantree
# Modules were compiled at installation, and the root filesystem is read-only.
ENV PATH=/opt/pantree/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# gRPC's classic poller uses fewer threads per call: docs/decisions/0019.
ENV GRPC_EXPERIMENTS=-event_engine_client,-event_engine_listener
# An ID without an account. It owns no file in the image.
USER 10001:10001
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["serve"]
