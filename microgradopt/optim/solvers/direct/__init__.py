"""Searches that ask for nothing but values of the function: a simplex, chance, and CMA-ES."""
