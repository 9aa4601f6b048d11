"""What the state tells: the funnel, one lead explained, how the sync is doing."""
