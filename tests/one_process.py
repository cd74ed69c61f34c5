"""`rft` as a program that does its stages in its own process: python -m tests.one_process ..."""

from pipelines import perform
from rft.cli import main
from tests.command import stage_here

if __name__ == "__main__":
    perform.in_child = stage_here
    main()
