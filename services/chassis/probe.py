"""`python -m services.chassis.probe`: is the service of this machine well? Exit code 0 when it is.

For health checks of containers: nothing but the standard library, which starts in 50 ms.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

WITHIN_S = 2.0
OK = 200


def main() -> int:
    """Ask the health endpoint and say what it said."""
    connection = HTTPConnection("127.0.0.1", int(os.environ["QM_HEALTH_PORT"]), timeout=WITHIN_S)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode(errors="replace") + "\n")
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == OK else 1


if __name__ == "__main__":
    sys.exit(main())
