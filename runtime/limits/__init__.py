"""How much others may cost us: lines of log, guesses, places at a door, headers of a call."""
