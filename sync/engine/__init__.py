"""Who works when, never what is true: the engines behind one small port."""
