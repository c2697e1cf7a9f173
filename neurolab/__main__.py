"""`python -m neurolab`: the `neurolab` command where no script of that name is on the path."""

from neurolab.cli import main

main()
