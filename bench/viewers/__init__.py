"""Many viewers in one process, who look at the heads of pictures only."""
