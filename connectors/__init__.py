"""The port that every platform speaks, and one folder per platform, all alike."""
