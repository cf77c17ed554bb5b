"""The table of primitives, by family: elementwise, shapes (linear), products (multilinear)."""
