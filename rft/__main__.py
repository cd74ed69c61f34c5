"""Lets `python -m rft` be the command."""

from rft.cli import main

main()
