"""`closedloop demo`: the whole loop on three sandboxes, with believable people."""
