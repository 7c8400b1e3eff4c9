"""The dock "x–t": signal along a line over time, of all series under each other."""
