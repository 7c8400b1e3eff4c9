"""The dock "Regions and curves": regions over a series, their curves over time, quantities and contrast phases."""
