"""Linear operators on torch tensors."""
