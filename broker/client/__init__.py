"""The broker's client for Python: asks for grants in the official SDK's words, and moves files with them.

    client = BrokerClient("https://broker.internal", api_key, principal="u1")
    client.get_presigned_url("avatars", Method="PUT", Inputs={"ext": "png"}, Headers={"Content-Type": "image/png"})
    client.upload_file("avatars", "portrait.png", inputs={"ext": "png"})

It needs nothing of the broker's own and, beyond the standard library, `requests` alone: so connections are kept,
bodies are streamed, and a caller's own `requests.Session` brings its proxies, certificates and adapters along.
"""

from broker.client.answers import (
    BatchResult,
    Confirmation,
    Credentials,
    Form,
    MultipartStep,
    RouteDescription,
    Signature,
    SignedRequest,
    SignedUrl,
)
from broker.client.broker_client import BrokerClient
from broker.client.downloads import Download
from broker.client.errors import (
    BrokerClientError,
    FieldProblem,
    LocalFileError,
    NetworkError,
    Problem,
    RateLimited,
    Refused,
    StoreError,
    Unavailable,
    UnexpectedAnswer,
)
from broker.client.resuming import UploadState
from broker.client.uploads import Upload

__all__ = [
    "BatchResult",
    "BrokerClient",
    "BrokerClientError",
    "Confirmation",
    "Credentials",
    "Download",
    "FieldProblem",
    "Form",
    "LocalFileError",
    "MultipartStep",
    "NetworkError",
    "Problem",
    "RateLimited",
    "Refused",
    "RouteDescription",
    "Signature",
    "SignedRequest",
    "SignedUrl",
    "StoreError",
    "Unavailable",
    "UnexpectedAnswer",
    "Upload",
    "UploadState",
]
