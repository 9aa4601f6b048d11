"""Benchmarks: a server that is not the bottleneck, our path, the peers, and the runner that compares them."""
