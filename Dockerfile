# The broker as an image: no compiler, no tests, no root; policies are mounted at /policies.
FROM python:3.13-slim AS build
COPY requirements.txt /build/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /build/requirements.txt
COPY broker /app/broker
# The root of a running container is read-only: what Python would compile at the first start is compiled here.
RUN /venv/bin/python -m compileall -q /app

FROM python:3.13-slim
COPY --from=build /venv /venv
COPY --from=build /app /app
COPY wsgi.py /app/
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BROKER_POLICIES=/policies
# A number, so that an orchestrator can tell that it is not root's.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
# The broker is process 1 and takes SIGTERM itself: a shell in between would keep it.
ENTRYPOINT ["python", "-m", "broker"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
