"""Who asks: unverified headers in, a `Principal` out."""
