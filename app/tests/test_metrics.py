"""What Prometheus gets."""

from webapp import create_app


def scrape(client):
    """Read the metrics as a mapping of series to value."""
    lines = client.get("/metrics").get_data(as_text=True).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def requests(method, endpoint, code):
    """Name a series of the request counter."""
    return f'http_requests_total{{code="{code}",endpoint="{endpoint}",method="{method}"}}'


def test_requests_are_counted_and_timed_by_endpoint(client):
    client.get("/")
    client.get("/")
    metrics = scrape(client)
    assert metrics[requests("GET", "pages.index", 200)] == "2.0"
    assert metrics['http_request_duration_seconds_count{endpoint="pages.index"}'] == "2.0"


def test_a_client_cannot_grow_the_labels(client):
    client.get("/no-such-page")
    client.get("/nor-this")
    client.open("/", method="INVENTED")
    metrics = scrape(client)
    assert metrics[requests("GET", "none", 404)] == "2.0"
    assert metrics[requests("other", "none", 405)] == "1.0"


def test_build_and_process_are_told(client):
    metrics = scrape(client)
    assert metrics['app_build_info{commit_sha="c0ffee",version="9.8.7"}'] == "1.0"
    assert float(metrics["process_resident_memory_bytes"]) > 0


def test_two_applications_do_not_share_counts(client):
    client.get("/")
    assert requests("GET", "pages.index", 200) not in scrape(create_app({}).test_client())
