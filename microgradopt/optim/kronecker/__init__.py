"""Kronecker factors: the curvature of layers, from what goes into them and what comes back.

A layer computes s = W̄ā for each row ā of its inputs, whose last entry is 1 where it has a bias.
With g, the derivative of −log p(y|z) by s, the Fisher matrix of W̄ is E[(ā ⊗ g)(ā ⊗ g)ᵀ], or about
A ⊗ G with A = E[āāᵀ] and G = E[ggᵀ] (Martens & Grosse 2015). The rows of a convolution are its
windows, of which a case has many: A is their sum over a case, G their mean (Grosse & Martens 2016).
"""
