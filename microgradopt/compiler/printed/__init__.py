"""The NumPy backend: a program as source that one can read."""
