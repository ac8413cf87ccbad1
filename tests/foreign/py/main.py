"""nats-py against the server: importing a file registers its checks."""

import checks_auth  # noqa: F401
import checks_consumer  # noqa: F401
import checks_core  # noqa: F401
import checks_publish  # noqa: F401
import checks_stores  # noqa: F401
import checks_stream  # noqa: F401
from base import run_all

if __name__ == "__main__":
    run_all()
