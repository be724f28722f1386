"""testcontainers at its usual work: containers that a test waits for and speaks with."""

import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

SERVICE = "longshore-test/service:1"


def page(container):
    host, port = container.get_container_host_ip(), container.get_exposed_port(8080)
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        return answer.read().decode()


def late(script):
    """Docker's SDK below loses what it reads along with the answer's head, on the bare socket too."""
    return ["sh", "-c", f"sleep 1; {script}"]


by_log = LogMessageWaitStrategy("service: ready").with_startup_timeout(60)
served = DockerContainer(SERVICE).with_env("GREETING", "tested").with_exposed_ports(8080)
with served.waiting_for(by_log) as container:
    assert "greeting=tested" in page(container)
    code, output = container.exec(late("cat /tmp/healthy"))
    assert (code, output) == (0, b"yes\n")
    out, _ = container.get_logs()
    assert b"service: ready" in out

by_page = HttpWaitStrategy(8080, "/health").for_status_code(200).with_startup_timeout(60)
with DockerContainer(SERVICE).with_exposed_ports(8080).waiting_for(by_page) as container:
    assert "hello from" in page(container)

with Network() as network:
    named = DockerContainer(SERVICE).with_network(network).with_network_aliases("service")
    with named.waiting_for(by_log) as container:
        assert container.exec(late("cat /tmp/www/health")).output == b"well\n"
print("testcontainers works")
