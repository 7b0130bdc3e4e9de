#!/usr/bin/env python3
"""Draws the curves that measure.py found, one SVG each, and prints a table and the line through each: how cost grows.

    bench/curves/plot.py                                        # docs/plots/curves.json -> docs/plots/*.svg, tables on standard output
    bench/curves/plot.py --page docs/internals/performance-curves.md      # the tables into the page

Python's own library is enough. The SVGs follow the reader's light or dark setting."""

import argparse
import json
import math
import pathlib
from html import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]

MIB, KB = 2**20, 1_000
# What each panel shows of a point.
RATE = ("messages/s", lambda point: point["messages_per_s"])
CPU = ("CPU µs a message", lambda point: point["cpu_us"])
RSS = ("RSS, MiB", lambda point: point["rss_bytes"] / MIB)

# Of each curve: its title, the name of its x axis, whether that is logarithmic, its panels, and the line through each:
# `power` is y = a·x^k, `linear` is y = a + b·x; `time` is 1/y = a + b·x, where each unit of x takes a time of its own.
CURVES = {
    "concurrency": ("Deliveries in hand", "concurrency", True, [(RATE, "power"), (CPU, "power")]),
    "body": ("Size of the body", "bytes", True, [(RATE, "time"), (CPU, "linear")]),
    "plugins": ("Plugins loaded", "plugins", True, [(CPU, "power"), (RSS, "linear")]),
    "in-flight": ("Handlers that sleep", "in progress", True, [(CPU, "power"), (RSS, "linear")]),
    "duplicates": ("Messages that are done already", "percent", False, [(RATE, "time"), (CPU, "linear")]),
}

STYLE = """
  .ink { fill: #24292f } .soft { fill: #57606a } .axis { stroke: #8c959f } .grid { stroke: #d0d7de }
  .line { stroke: #0969da } .dot { fill: #0969da } .fit { stroke: #bc4c00 } .fitted { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    .ink { fill: #e6edf3 } .soft { fill: #9198a1 } .axis { stroke: #656c76 } .grid { stroke: #30363d }
    .line { stroke: #58a6ff } .dot { fill: #58a6ff } .fit { stroke: #f0883e } .fitted { fill: #f0883e }
  }
  text { font: 12px system-ui, sans-serif } .title { font-weight: 600; font-size: 14px } .small { font-size: 11px }
"""
WIDTH, HEIGHT, PANEL = 760, 300, 380
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 62, 44


# Between these lines of the page, its figures are put.
BEGIN, END = "<!-- figures: bench/curves/plot.py writes them -->", "<!-- end of figures -->"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", nargs="?", default=ROOT / "docs/plots/curves.json", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, help="the plots' directory; default: the JSON file's")
    parser.add_argument("--page", type=pathlib.Path, help="a page that the tables are put into; default: standard output")
    options = parser.parse_args()
    found = json.loads(options.found.read_text())
    out = options.out or options.found.parent
    out.mkdir(parents=True, exist_ok=True)
    figures = [verdicts(found)]
    for name, (title, x_name, _, panels) in CURVES.items():
        if name not in found:
            continue
        points = found[name]["points"]
        (out / f"{name}.svg").write_text(svg(name, points))
        lines = [f"- Fit: {y_name} = {words(kind, fit(kind, [(p['x'], of(p)) for p in points]))}" for (y_name, of), kind in panels]
        figures.append("\n".join([f"### {title}\n", f"![{title}](../plots/{name}.svg)\n", table(x_name, points), "", *lines]))
    figures = "\n\n".join(figures)
    if not options.page:
        print(figures)
        return
    page = options.page.read_text()
    if BEGIN not in page or END not in page:
        parser.error(f"{options.page} has no lines `{BEGIN}` and `{END}`")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    options.page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}")


# ---- the lines

def fit(kind, pairs):
    """The least-squares line: (a, k) of a·x^k over logarithms, (a, b) of a + b·x."""
    if kind == "power":
        a, k = straight([(math.log(x), math.log(y)) for x, y in pairs if x > 0 and y > 0])
        return math.exp(a), k
    if kind == "time":
        return straight([(x, 1 / y) for x, y in pairs])
    return straight(pairs)


def straight(pairs):
    mean_x, mean_y = (sum(values) / len(pairs) for values in zip(*pairs))
    spread = sum((x - mean_x) ** 2 for x, _ in pairs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread if spread else 0.0
    return mean_y - slope * mean_x, slope


def at(kind, line, x):
    if kind == "power":
        return line[0] * x ** line[1]
    value = line[0] + line[1] * x
    return 1 / value if kind == "time" else value


def words(kind, line):
    if kind == "power":
        return f"{short(line[0])} · x^{line[1]:.2f}"
    a, b = (part * 1e6 for part in line) if kind == "time" else line
    said = f"{short(a)} {'+' if b >= 0 else '−'} {short(abs(b))} · x"
    return f"1 s / ({said}) µs" if kind == "time" else said


# ---- the tables

def table(x_name, points):
    warning = "" if all(p["optimised"] for p in points) else "**Not optimised: times mean nothing.**\n\n"
    rows = [f"| {x_name} | messages/s | CPU µs a message | handler CPU µs | local-queue CPU µs | SQS calls a message | RSS MiB |", "|" + " --- |" * 7]
    for p in points:
        guest = "-" if p["guest_us"] is None else f"{p['guest_us']:.0f}"
        rows.append(f"| {p['x']:,} | {p['messages_per_s']:,.0f} | {p['cpu_us']:.0f} | {guest} | {p['queue_us']:.0f} | "
                    f"{p['calls_per_message']:.2f} | {p['rss_bytes'] / MIB:.0f} |")
    return warning + "\n".join(rows)


def verdicts(found):
    """The goals, each with what was found."""
    def point(name, x):
        return next((p for p in found.get(name, {}).get("points", []) if p["x"] == x), None)

    said = []

    def say(what, value, goal, is_met):
        said.append(f"| {what} | {value} | {goal} | {'yes' if is_met else '**no**'} |")

    for name, x, base, what in [("plugins", 500, 1, "CPU a message with 500 plugins ÷ with 1"),
                                ("in-flight", 10_000, 100, "CPU a message with 10,000 in progress ÷ with 100")]:
        if point(name, x) and point(name, base):
            ratio = point(name, x)["cpu_us"] / point(name, base)["cpu_us"]
            say(what, f"{ratio:.2f} ×", "≤ 1.10 ×", ratio <= 1.1)
    low, high = point("in-flight", 100), point("in-flight", 10_000)
    if low and high:
        each = (high["rss_bytes"] - low["rss_bytes"]) / (high["x"] - low["x"])
        say("memory of one more message in progress, from 100 to 10,000", f"{each / KB:.1f} KB", "≤ 100 KB", each <= 100 * KB)
    one, two = point("cores", 1), point("cores", 2)
    if one and two:
        ratio = two["messages_per_s"] / one["messages_per_s"]
        say("messages/s of the whole host on two cores ÷ on one", f"{ratio:.2f} ×", "≥ 1.70 ×", ratio >= 1.7)
    for plugins, idle in found.get("idle", {}).items():
        many = int(plugins) > 1
        name = f"{plugins} plugins" if many else "1 plugin"
        if many:
            say(f"start to ready, {name}, already compiled", f"{idle['ready_s']:.2f} s", "≤ 0.30 s", idle["ready_s"] <= 0.3)
        else:
            say(f"idle, {name}: RSS", f"{idle['rss_bytes'] / 1e6:.1f} MB", "≤ 40 MB", idle["rss_bytes"] <= 40e6)
            say(f"idle, {name}: CPU", f"{idle['cpu_percent']:.3f} %", "≤ 0.1 %", idle["cpu_percent"] <= 0.1)
    return "\n".join(["### Goals\n", "| what | measured | goal | met |", "|" + " --- |" * 4, *said])


# ---- the plots

def svg(name, points):
    title, x_name, is_log, panels = CURVES[name]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}</style>", f'<text x="{LEFT}" y="20" class="ink title">{escape(title)}</text>']
    for place, ((y_name, of), kind) in enumerate(panels):
        parts += panel(place * PANEL, x_name, is_log, y_name, [(p["x"], of(p)) for p in points], kind)
    return "\n".join([*parts, "</svg>\n"])


def panel(left, x_name, is_log, y_name, pairs, kind):
    line = fit(kind, pairs)
    x_axis = Axis([x for x, _ in pairs], is_log, left + LEFT, left + PANEL - RIGHT)
    y_axis = Axis([0, *(y for _, y in pairs)], False, HEIGHT - BOTTOM, TOP)
    parts = [f'<text x="{left + LEFT}" y="{TOP - 18}" class="ink">{escape(y_name)}</text>',
             f'<text x="{left + PANEL - RIGHT}" y="{TOP - 18}" text-anchor="end" class="fitted small">{escape(words(kind, line))}</text>',
             f'<text x="{(x_axis.start + x_axis.end) / 2}" y="{HEIGHT - 8}" text-anchor="middle" class="soft">{escape(x_name)}</text>']
    parts += axes(x_axis, y_axis)
    parts.append(path("fit", [(x_axis.at(x), y_axis.at(min(max(at(kind, line, x), 0), y_axis.high))) for x in x_axis.steps()], ' stroke-dasharray="4 4"'))
    spots = [(x_axis.at(x), y_axis.at(y)) for x, y in pairs]
    parts.append(path("line", spots, ' stroke-width="2"'))
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="dot"><title>{short(pair[0])}: {short(pair[1])}</title></circle>'
              for (x, y), pair in zip(spots, pairs)]
    return parts


def axes(x_axis, y_axis):
    """A line for each tick of y, and the ticks' numbers."""
    parts = []
    for y in y_axis.ticks():
        parts.append(f'<line x1="{x_axis.start}" x2="{x_axis.end}" y1="{y_axis.at(y):.1f}" y2="{y_axis.at(y):.1f}" class="grid"/>')
        parts.append(f'<text x="{x_axis.start - 6}" y="{y_axis.at(y) + 4:.1f}" text-anchor="end" class="soft small">{short(y)}</text>')
    parts.append(f'<line x1="{x_axis.start}" x2="{x_axis.end}" y1="{y_axis.start}" y2="{y_axis.start}" class="axis"/>')
    for x in x_axis.ticks():
        parts.append(f'<text x="{x_axis.at(x):.1f}" y="{y_axis.start + 16}" text-anchor="middle" class="soft small">{short(x)}</text>')
    return parts


def path(name, spots, more):
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}" fill="none" class="{name}"{more}/>'


class Axis:
    """From values to places."""

    def __init__(self, values, is_log, start, end):
        self.is_log, self.start, self.end = is_log, start, end
        self.low, self.high = min(values), max(values)
        if not is_log:
            self.step = nice((self.high - self.low) / 4 or 1)
            self.low, self.high = math.floor(self.low / self.step) * self.step, math.ceil(self.high / self.step) * self.step
        if self.high <= self.low:
            self.high = self.low + 1

    def at(self, value):
        of = math.log if self.is_log else float
        return self.start + (of(value) - of(self.low)) / (of(self.high) - of(self.low)) * (self.end - self.start)

    def ticks(self):
        if self.is_log:
            return [10**k for k in range(12) if self.low <= 10**k <= self.high] or [self.low, self.high]
        return [self.low + self.step * place for place in range(round((self.high - self.low) / self.step) + 1)]

    def steps(self):
        """Enough places for a line that is not straight here."""
        parts = [place / 40 for place in range(41)]
        if self.is_log:
            return [self.low * (self.high / self.low) ** part for part in parts]
        return [self.low + (self.high - self.low) * part for part in parts]


def nice(step):
    """The next larger of 1, 2, 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)


def short(number):
    if abs(number) >= 10_000:
        return f"{number / 1_000:,.0f}k"
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.3g}"


if __name__ == "__main__":
    main()
