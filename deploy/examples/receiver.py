"""Take alerts: WEBHOOK_SECRET=whsec_... receiver.py PORT; whatever is not signed gets a 401."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what Quartermaster signed in the last five minutes, 401 to all else."""

    def do_POST(self) -> None:
        """Verify, then print; the same `id` again is the same message."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = WEBHOOK.verify(body, {k.lower(): v for k, v in self.headers.items()})
        except WebhookVerificationError:
            return self.send_error(401)
        print(json.dumps(event), flush=True)
        self.send_response(204)
        return self.end_headers()


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
