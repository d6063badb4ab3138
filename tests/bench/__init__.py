"""Benchmarks: `make bench`. Ratios within one run, medians of several rounds; nothing here is a test."""
