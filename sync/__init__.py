"""Decides, then acts: the core, the state, the runs, the daemon, the command line."""
