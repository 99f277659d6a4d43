"""The couriers: each takes one letter to its next hop, and raises what became of it otherwise."""
