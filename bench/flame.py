#!/usr/bin/env python3
"""Draws a flame graph as a plain SVG: `perf script | flame.py THREAD… > out.svg`.

Reads what `perf script -F comm,ip,sym` prints, keeps the threads that are named (all, if none is), and draws each stack from its
thread upwards: as wide as its share of the samples. Frames under half a percent are left out; hovering names a frame.
"""

import re
import sys
from collections import Counter
from html import escape

WIDTH, ROW, SMALLEST = 1200, 17, 0.005
HASH = re.compile(r"(::h[0-9a-f]{16})$|\+0x[0-9a-f]+$")


def stacks(lines, threads):
    """Each stack, outermost frame first, with its samples."""
    counted, frames, thread = Counter(), [], None
    for line in [*lines, ""]:
        if not line.strip():
            if thread and (not threads or thread in threads):
                counted[(thread, *reversed(frames))] += 1
            frames, thread = [], None
        elif thread is None:
            thread = line.split()[0]
        else:
            name = line.split(None, 1)[1].strip() if len(line.split()) > 1 else "[unknown]"
            frames.append(HASH.sub("", name))
    return counted


def tree(counted):
    root = {"samples": 0, "below": {}}
    for stack, samples in counted.items():
        root["samples"] += samples
        node = root
        for frame in stack:
            node = node["below"].setdefault(frame, {"samples": 0, "below": {}})
            node["samples"] += samples
    return root


def rows(node, total, left=0.0, depth=0):
    for frame, below in sorted(node["below"].items()):
        share = below["samples"] / total
        if share >= SMALLEST:
            yield frame, left, share, depth
            yield from rows(below, total, left, depth + 1)
        left += share


def colour(frame):
    """What is the kernel's, SQLite's, the SDK's, wasmtime's and ours, each in its own hue."""
    hues = [("sqlite3|pager|wal|vdbe|btree|Vdbe|unixWrite|rusqlite", 45), ("aws_|hyper|h2::|http::", 265)]
    hues += [("wasmtime|wasm|component", 150), ("wasq", 15), ("^(do_|sys_|__x64|entry_|tcp|ext4|vfs|ip_|net_)", 210)]
    hue = next((hue for words, hue in hues if re.search(words, frame)), 0)
    return f"hsl({hue} {'12%' if hue == 0 else '60%'} {66 + sum(map(ord, frame)) % 12}%)"


def main():
    counted = stacks(sys.stdin, set(sys.argv[1:]))
    root = tree(counted)
    if not root["samples"]:
        sys.exit("no samples of these threads: " + (" ".join(sys.argv[1:]) or "any"))
    boxes = list(rows(root, root["samples"]))
    height = (max(depth for *_, depth in boxes) + 1) * ROW
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">')
    for frame, left, share, depth in boxes:
        x, y, width = left * WIDTH, height - (depth + 1) * ROW, share * WIDTH
        fits = int((width - 6) / 6.6)
        text = frame if len(frame) <= fits else frame[: max(fits - 1, 0)] + "…"
        print(f'<g><title>{escape(frame)}: {share:.1%}</title>', end="")
        print(f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" fill="{colour(frame)}"/>', end="")
        if fits > 2:
            print(f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(text)}</text>', end="")
        print("</g>")
    print("</svg>")


if __name__ == "__main__":
    main()
