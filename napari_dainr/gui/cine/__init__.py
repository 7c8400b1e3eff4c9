"""The dock "Cine": playing a series at a stated speed, and writing it as GIF or MP4."""
