"""COS Broker: temporary credentials and signed URLs for Tencent Cloud Object Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.app import Broker, create_app

__all__ = ["Broker", "create_app"]


def __getattr__(name: str) -> Any:
    # The pure rooms are used without Flask, Redis and the SDK, whose imports cost half a second.
    if name in __all__:
        from broker import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
