"""Ways out of the course: networks written in formats that other tools read.

`nir` and `nir_block` need the extra `nir`; `chips` needs nothing.
"""
