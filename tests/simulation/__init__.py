"""Simulation: the engine over platforms in memory, people editing on all sides, faults; one seed decides everything."""
