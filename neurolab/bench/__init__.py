"""Benchmarks, one suite a module: each holds its goals beside the code that measures them."""
