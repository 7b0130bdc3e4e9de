"""moto's server, for `wasq-bench --queues`: says where it listens, and ends with its standard input."""

import contextlib
import json
import sys

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0)
# It greets on standard output.
with contextlib.redirect_stdout(sys.stderr):
    server.start()
host, port = server.get_host_and_port()
print(json.dumps(f"http://{host}:{port}"), flush=True)
sys.stdin.read()
with contextlib.redirect_stdout(sys.stderr):
    server.stop()
