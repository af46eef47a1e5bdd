"""Who runs: supervisor, control, workers, what they share and how they hear of each other."""
