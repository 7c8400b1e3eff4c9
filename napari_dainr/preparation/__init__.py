"""Making raw readouts fit for reconstruction: noise, partitions, dead coils, angles, gradient delays. Numpy only."""
