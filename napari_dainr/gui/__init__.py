"""The napari plugin: widgets that draw what the engine tells. Imports of torch stay out of this half."""
