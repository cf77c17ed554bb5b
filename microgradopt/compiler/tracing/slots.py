"""The slots of a node themselves, which a trace exchanges for properties."""

from microgradopt.engine.graph import Node

RAW, GRAD, INDEX = (vars(Node)[name] for name in ("_raw", "grad", "_index"))
