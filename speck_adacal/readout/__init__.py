"""From output spikes to a class and a decision: counts, the leader, read-outs, early exit."""
