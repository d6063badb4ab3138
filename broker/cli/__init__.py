"""`python -m broker VERB`: every verb, its options and how it ends. The work itself is in the rooms."""

from __future__ import annotations

import click

from broker.cli.cors import cors_rule
from broker.cli.credentials import credentials
from broker.cli.keys import keygen
from broker.cli.policies import cam, check, explain, probe, schema, vend
from broker.cli.running import demo, dev, emulate, serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Temporary credentials and signed URLs for Tencent Cloud Object Storage."""


for _verb in (serve, dev, demo, emulate, check, explain, vend, probe, cam, cors_rule, schema, credentials, keygen):
    main.add_command(_verb)
