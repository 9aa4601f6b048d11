"""The project file, secrets, and errors with file and line. The leaf: it imports nothing of ours."""
