"""``mg.jit``: a call traced, its program compiled, and replayed.

tracing/ runs a function on stand-ins and records a program; passes/ clean it up; printed/ makes
NumPy source of it, native/ machine code, tape/ a list for one loop over scalars.
"""
