# The living example. Targets: deps, the dependency image; app (last), what is delivered.
# No syntax line: it would make BuildKit ask an outside registry. Builds with the classic builder too.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS deps
COPY app/requirements.txt /tmp/requirements.txt
# The venv gets no pip of its own: the delivered one holds what runs and nothing else.
RUN python3 -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes \
       --requirement /tmp/requirements.txt
# Last, so that another commit does not throw away the layers above; the labels tell whose image
# this is when it has lost its name.
ARG COMMIT_SHA
ARG VERSION
LABEL org.opencontainers.image.title="longshore-app-deps" \
      org.opencontainers.image.revision="${COMMIT_SHA}" \
      org.opencontainers.image.version="${VERSION}"

FROM ${BASE_IMAGE} AS app
ENV PATH="/opt/venv/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=deps /opt/venv /opt/venv
COPY app/gunicorn.conf.py ./
COPY app/webapp ./webapp
ARG COMMIT_SHA
ARG VERSION
ARG PIPELINE_IID
# DL3064 is right: a secret in an image is readable by everybody who can pull it. Here it is asked for;
# the README says what it costs and shows the other ways.
# hadolint ignore=DL3064
ARG PAGE_SECRET
# hadolint ignore=DL3064
ENV COMMIT_SHA="${COMMIT_SHA}" \
    APP_VERSION="${VERSION}" \
    PAGE_SECRET="${PAGE_SECRET}"
LABEL org.opencontainers.image.title="longshore-app" \
      org.opencontainers.image.revision="${COMMIT_SHA}" \
      org.opencontainers.image.version="${VERSION}" \
      org.longshore.pipeline-iid="${PIPELINE_IID}"
USER 10001:10001
EXPOSE 8080
# By path and isolated, so that each probe loads only the standard library.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-I", "/app/webapp/healthcheck.py"]
CMD ["gunicorn", "webapp:create_app()"]
