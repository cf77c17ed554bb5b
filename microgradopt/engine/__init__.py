"""The autograd: nodes, primitives, sweeps, derivatives."""
