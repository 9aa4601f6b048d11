"""Commands for whoever writes a connector: connector new."""
