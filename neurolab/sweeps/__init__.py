"""The rows of each sweep: `NAME_*.py` with `jobs()`; see `neurolab.sweep`."""
