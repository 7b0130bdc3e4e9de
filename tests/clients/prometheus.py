"""Reads the Prometheus text on stdin with Prometheus's own client, and prints its samples as JSON: [name, labels, value]."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = []
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, f"{family.name} has no help"
    assert family.type in ("counter", "gauge", "histogram"), f"{family.name} is a {family.type}"
    samples += [[sample.name, sample.labels, str(sample.value)] for sample in family.samples]
print(json.dumps(samples))
