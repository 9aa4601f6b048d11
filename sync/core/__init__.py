"""Pure decisions: values in, values with reasons out. No input, no output, no clock."""
