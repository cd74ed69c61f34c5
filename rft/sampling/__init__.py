"""How a round is sampled: what is asked for, by which workers, wave after wave, losing nothing."""
