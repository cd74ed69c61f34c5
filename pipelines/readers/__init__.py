"""What reads a run back: status, report, single rollouts, where rows come from, exports."""
