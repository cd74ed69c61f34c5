"""Online training: TRL's GRPO with hooks for plug-ins, the reward, the record of each step."""
