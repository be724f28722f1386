"""The image's HEALTHCHECK: asks `/status` on loopback with nothing but the standard library."""

import http.client
import sys

PORT = 8080
TIMEOUT_SECONDS = 2


def main(port: int = PORT) -> int:
    """Return 0 when the application answers 200, else 1 and say why on stderr."""
    # http.client and not urllib: a proxy in the environment must not be asked for loopback.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/status")
        code = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"/status does not answer: {error!r}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if code != http.HTTPStatus.OK:
        print(f"/status answers {code}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
