"""`samna.specksim`: float layers fed by events, one event at a time.

Faithful to the public tests of sinabs; the rest is assumed (docs, "Virtual samna"): state and
weights are float32, a neuron fires at most one spike for each weighted event (`v >= threshold`,
subtract), zero weights make events too, and what falls outside the map is dropped.
"""
