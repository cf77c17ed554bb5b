"""A self-contained HTML page around an SVG: drag to pan, scroll to zoom, point to see wires."""

from microgradopt.drawing import look
from microgradopt.drawing.scene import Scene
from microgradopt.drawing.svg import escape

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
html, body {{ margin: 0; height: 100%; background: {background}; overflow: hidden }}
svg.mg-drawing {{ display: block; width: 100vw; height: 100vh; cursor: grab; touch-action: none }}
svg.mg-drawing.mg-held {{ cursor: grabbing }}
#hint {{ position: fixed; left: 12px; bottom: 10px; font: 12px {sans}; color: {muted};
  background: {background}; padding: 3px 8px; border-radius: 6px; opacity: .85 }}
#hint i {{ display: inline-block; width: 11px; height: 11px; margin: 0 5px 0 10px;
  border: 1.5px solid; border-radius: 3px; vertical-align: -1px }}
</style>
</head>
<body>
{svg}
<div id="hint">{legend} &nbsp; drag to pan · scroll to zoom · double-click to fit</div>
<script>
{script}
</script>
</body>
</html>
"""

_SCRIPT = """\
const svg = document.querySelector("svg.mg-drawing");
const whole = svg.viewBox.baseVal;
const size = { w: whole.width, h: whole.height };
let view, held = null;

function show() { svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`); }

function fit() {
  const room = svg.getBoundingClientRect();
  const scale = Math.max(size.w / room.width, size.h / room.height, 0.5);
  view = { w: room.width * scale, h: room.height * scale };
  view.x = (size.w - view.w) / 2;
  view.y = (size.h - view.h) / 2;
  show();
}

function zoom(factor, clientX, clientY) {
  const room = svg.getBoundingClientRect();
  const px = (clientX - room.left) / room.width, py = (clientY - room.top) / room.height;
  view.x += view.w * px * (1 - factor);
  view.y += view.h * py * (1 - factor);
  view.w *= factor;
  view.h *= factor;
  show();
}

svg.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) * 0.002),
       event.clientX, event.clientY);
}, { passive: false });
svg.addEventListener("pointerdown", event => {
  held = { x: event.clientX, y: event.clientY };
  svg.setPointerCapture(event.pointerId);
  svg.classList.add("mg-held");
});
svg.addEventListener("pointermove", event => {
  if (!held) return;
  const scale = view.w / svg.getBoundingClientRect().width;
  view.x -= (event.clientX - held.x) * scale;
  view.y -= (event.clientY - held.y) * scale;
  held = { x: event.clientX, y: event.clientY };
  show();
});
for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => {
  held = null;
  svg.classList.remove("mg-held");
});
svg.addEventListener("dblclick", fit);
addEventListener("resize", fit);
addEventListener("keydown", event => {
  const factor = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
  if (factor) zoom(factor, innerWidth / 2, innerHeight / 2);
  if (event.key === "0") fit();
});
svg.removeAttribute("width");
svg.removeAttribute("height");
fit();"""


def to_html(scene: Scene, svg: str) -> str:
    """Wrap the drawing of a scene in a page that needs nothing from outside."""
    return _PAGE.format(
        title=escape(scene.title or "computation graph"),
        background=look.BACKGROUND,
        sans=look.SANS,
        muted=look.MUTED,
        svg=svg,
        legend=_legend(scene),
        script=_SCRIPT,
    )


def _legend(scene: Scene) -> str:
    shown = {box.kind for box in scene.boxes}
    return "".join(
        f'<i style="background:{tint.fill};border-color:{tint.border}"></i>{look.MEANINGS[kind]} '
        for kind, tint in look.TINTS.items()
        if kind in shown
    )
