"""Answers that are programs: found in a completion, run in a sandbox, and held against tests."""
