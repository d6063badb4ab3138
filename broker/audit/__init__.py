"""Audit: one line for each grant and each refusal, and their counts."""
