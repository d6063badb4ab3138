"""Proving a route's scope against the live endpoint: what is promised to be allowed is, what is promised refused is."""
