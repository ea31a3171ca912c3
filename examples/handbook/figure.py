"""Figures that follow the page: light or dark, in the page's font.

Importing this module sets matplotlib's style; draw with matplotlib's own calls and default colors.
"""

import io
import os
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

plt.rcParams.update(
    {
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.constrained_layout.use": True,
        "figure.figsize": (5.4, 3.0),
        "font.size": 11,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text: searchable, and set in the page's font
        "svg.hashsalt": "about-quantization",  # the same figure has the same bytes
    }
)

# matplotlib's default colors -> the site's CSS variables; the default is the fallback elsewhere.
_THEMED = {"#000000": "ink", "#b0b0b0": "grid", "#808080": "muted", "#ffffff": "paper"} | {
    to_hex(f"C{index}"): str(index + 1) for index in range(8)
}


def figure(name: str, fig) -> None:
    """Show `fig`: in a notebook at once, under the runner in the record as `<name>.svg`.

    A script run by hand saves it in `.cache/figures` and prints where. Closes `fig`.
    """
    svg = _themed_svg(fig)
    plt.close(fig)
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display({"image/svg+xml": svg, "text/plain": name}, raw=True)
    if folder := os.environ.get("HANDBOOK_RECORD"):
        (Path(folder) / f"{name}.svg").write_text(svg, encoding="utf-8")
    elif "ipykernel" not in sys.modules:
        folder = Path(__file__).resolve().parents[2] / ".cache" / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{Path(sys.argv[0]).stem}-{name}.svg"
        file.write_text(svg, encoding="utf-8")
        print(f"figure: {file}")


def _themed_svg(fig) -> str:
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r" <metadata>.*?</metadata>\n", "", svg, flags=re.DOTALL)
    # The stock style sheet would reach the whole page; on the root it stays with the figure.
    svg = re.sub(r"  <style.*?</style>\n", "", svg, flags=re.DOTALL)
    root = "fill: #000000; stroke-linejoin: round; stroke-linecap: butt"
    svg = svg.replace("<svg ", f'<svg style="{root}" ', 1)
    svg = re.sub("|".join(_THEMED), lambda c: f"var(--figure-{_THEMED[c[0]]}, {c[0]})", svg)
    return re.sub(
        r"'DejaVu Sans'[^;\"]*|sans-serif(?=[;\"])", "var(--figure-font, sans-serif)", svg
    )
