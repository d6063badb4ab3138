"""The broker as a WSGI application: `gunicorn wsgi:app`, `granian --interface wsgi wsgi:app`."""

from broker import create_app

app = create_app()
