"""What reads a run back: status, report, single rollouts, exports."""
