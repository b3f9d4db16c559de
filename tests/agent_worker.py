"""A tiny worker for the agent's tests: says it is ready, then does what its mode says."""

import argparse
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    secret = os.environ.get("QM_QUEUE_FILE")
    rights = oct(Path(secret).stat().st_mode & 0o777) if secret else "none"
    gpu = os.environ["CUDA_VISIBLE_DEVICES"]
    print(f"worker {options.mode} gpu={gpu} secret={rights}", flush=True)
    prepare(options.mode, options.port)
    if options.mode not in {"never", "stubborn_child"}:
        Path(os.environ["QM_READY_FILE"]).touch()
    beats = 0
    while True:
        time.sleep(0.1)
        if options.mode == "chatty":
            beats += 1
            print(f"beat {beats}", flush=True)


def prepare(mode: str, port: int) -> None:
    if mode == "crash":
        sys.exit(7)
    if mode in {"stubborn", "stubborn_child"}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "stray":  # a child that leaves its parent's session behind
        subprocess.Popen([sys.executable, __file__, "stubborn_child"], start_new_session=True)
    if mode == "http":
        serve(port)


def serve(port: int) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "%s"}]}' % os.environ["QM_MODEL"].encode())

        def log_message(self, *_: object) -> None:
            return

    print("serving", flush=True)
    HTTPServer(("127.0.0.1", port), Answers).serve_forever()


main()
