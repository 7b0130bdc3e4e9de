"""Helm's own engine: `helm_chart.py lint CHART VALUES` and `helm_chart.py render CHART VALUES NAME NAMESPACE`.

`lint` prints what is wrong, and ends with 1 if anything is but a hint. `render` prints JSON: each template by its file's name, with
its documents and its text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import helm_python as helm
import yaml

INFO = 1


def main(verb: str, chart: str, values: str, name: str = "shop", namespace: str = "workers") -> int:
    given = yaml.safe_load(Path(values).read_text())
    if verb == "lint":
        found = [one for one in helm.lint(chart, given, strict=True)["messages"] if one["severity"] > INFO]
        for one in found:
            print(f"{one['path']}: {one['error']}")
        return 1 if found else 0
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.validate_schema(given)
            rendered = loaded.render(given, name=name, namespace=namespace)
    except helm.HelmError as error:
        print(error)
        return 1
    files = {}
    for path, text in rendered.items():
        file = Path(path).name
        documents = [] if file.endswith(".txt") else [one for one in yaml.safe_load_all(text) if one]
        files[file] = {"documents": documents, "text": text}
    print(json.dumps(files))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
