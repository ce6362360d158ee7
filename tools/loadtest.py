"""`make loadtest`: start the service, drive it with locust, hold it to the configured budget."""

import subprocess
import sys
from pathlib import Path

from plan_recommender.config import load_settings
from tools.serving import ROOT, ServerDidNotStartError, serving


def main() -> int:
    """Run the load; returns locust's exit code: 0 when the budget was kept."""
    load = load_settings(ROOT / "model_config.yaml").loadtest
    try:
        with serving() as server:
            command = [
                *(str(Path(sys.executable).with_name("locust")), "--headless", "--only-summary"),
                *("--locustfile", "loadtest/locustfile.py", "--host", server.url),
                *("--users", str(load.users), "--spawn-rate", str(load.users), "--run-time", f"{load.seconds}s"),
            ]
            return subprocess.run(command, cwd=ROOT, check=False).returncode
    except ServerDidNotStartError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    sys.exit(main())
