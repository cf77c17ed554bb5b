"""Pictures of computation graphs: graph → Scene → DOT, SVG, Mermaid, HTML, PNG or PDF.

:func:`draw` takes a snapshot of a graph; the :class:`Drawing` it returns can be shown in a notebook
or saved. Nothing outside Python is needed: where Graphviz's ``dot`` is installed it does the layout
of small graphs, elsewhere the layered layout in this package does.
"""

from microgradopt.drawing.display import Drawing, draw

__all__ = ["Drawing", "draw"]
