"""Run in a container of the stack: a receiver of alerts, on the loopback that all share.

Prints for each alert that comes a JSON object: with which `authorization`, its `status` and its `labels`.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        for alert in body["alerts"]:
            said = {
                "authorization": self.headers.get("authorization"),
                "status": alert["status"],
                "labels": alert["labels"],
            }
            sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Webhook).serve_forever()
