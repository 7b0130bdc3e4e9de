#!/usr/bin/env python3
"""Draws what `wasq-tests pressure --series FILE` has kept, as plain SVGs beside those of plot.py.

    bench/curves/pressure.py --concurrency auto.jsonl                     # -> docs/plots/auto-concurrency.svg
    bench/curves/pressure.py --rates NAME=FILE NAME=FILE                  # -> docs/plots/rates.svg

Python's own library is enough."""

import argparse
import json
import pathlib
from html import escape

from plot import BOTTOM, HEIGHT, LEFT, PANEL, RIGHT, ROOT, STYLE, TOP, WIDTH, Axis, axes, path

# More lines of one panel.
COLOURS = ["line", "fit", "third", "fourth", "fifth", "sixth"]
MORE = """
  .third { stroke: #1a7f37 } .fourth { stroke: #8250df } .fifth { stroke: #bf3989 } .sixth { stroke: #57606a }
  .third-text { fill: #1a7f37 } .fourth-text { fill: #8250df } .fifth-text { fill: #bf3989 } .sixth-text { fill: #57606a }
  .line-text { fill: #0969da } .fit-text { fill: #bc4c00 }
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=pathlib.Path, help="what `--measure concurrency` has kept")
    parser.add_argument("--rates", nargs="+", default=[], metavar="NAME=FILE", help="what `--measure rate` has kept")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/plots", help="the plots' directory")
    options = parser.parse_args()
    if options.concurrency:
        looks = lines(options.concurrency)
        limit = [(look["at_s"], look["limit"]) for look in looks]
        p50 = [(look["at_s"], look["p50_ms"]) for look in looks if look["p50_ms"] is not None]
        draw(options.out / "auto-concurrency.svg", "A server that does 16 calls at once, then 4, then 16",
             [("limit of concurrency = \"auto\"", [("", limit)]), ("p50 of a call, ms", [("", p50)])])
    if options.rates:
        series = []
        for named in options.rates:
            name, _, file = named.partition("=")
            series.append((name, [(look["at_s"], look["calls"]) for look in lines(pathlib.Path(file))]))
        half = (len(series) + 1) // 2
        draw(options.out / "rates.svg", "Calls in each second at 100/s for the fleet",
             [("calls in the second", series[:half]), ("calls in the second", series[half:])])


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def draw(file, title, panels):
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}{MORE}</style>", f'<text x="{LEFT}" y="20" class="ink title">{escape(title)}</text>']
    for place, (y_name, series) in enumerate(panel for panel in panels if panel[1]):
        parts += panel_of(place * PANEL, y_name, series)
    file.write_text("\n".join([*parts, "</svg>\n"]))
    print(file)


def panel_of(left, y_name, series):
    points = [point for _, line in series for point in line]
    x_axis = Axis([0, *(x for x, _ in points)], False, left + LEFT, left + PANEL - RIGHT)
    y_axis = Axis([0, *(y for _, y in points)], False, HEIGHT - BOTTOM, TOP)
    parts = [f'<text x="{left + LEFT}" y="{TOP - 18}" class="ink">{escape(y_name)}</text>',
             f'<text x="{(x_axis.start + x_axis.end) / 2}" y="{HEIGHT - 8}" text-anchor="middle" class="soft">seconds</text>']
    parts += axes(x_axis, y_axis)
    for number, (name, line) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(path(colour, [(x_axis.at(x), y_axis.at(y)) for x, y in line], ' stroke-width="2"'))
        if name:
            place = y_axis.start - 8 - 15 * (len(series) - 1 - number)
            parts.append(f'<text x="{x_axis.end}" y="{place}" text-anchor="end" class="{colour}-text small">{escape(name)}</text>')
    return parts


if __name__ == "__main__":
    main()
