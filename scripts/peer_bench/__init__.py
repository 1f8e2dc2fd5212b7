"""What scripts/peers.py runs: the workloads, one module per peer, and the comparison with `tidegate bench`."""
