"""Load on the running image, and the limits that turn locust's figures into its exit code."""

from locust import FastHttpUser, between, events, task
from locust.env import Environment

LEAST_REQUESTS = 500


class Visitor(FastHttpUser):
    """Somebody who reads the page, and the probes around it."""

    wait_time = between(0.02, 0.1)

    @task(3)
    def page(self) -> None:
        """Read the page."""
        self.client.get("/")

    @task(2)
    def status(self) -> None:
        """Ask which build answers."""
        self.client.get("/status")

    @task(1)
    def metrics(self) -> None:
        """Scrape."""
        self.client.get("/metrics")


@events.quitting.add_listener
def judge(environment: Environment, **_: object) -> None:
    """Print the figures and turn them into locust's exit code."""
    total = environment.stats.total
    p95 = total.get_response_time_percentile(0.95)
    print(
        f"load: {total.num_requests} requests (at least {LEAST_REQUESTS}), "
        f"{total.num_failures} failures (none allowed), p95 {p95} ms"
    )
    held = total.num_requests >= LEAST_REQUESTS and total.num_failures == 0
    environment.process_exit_code = 0 if held else 1
