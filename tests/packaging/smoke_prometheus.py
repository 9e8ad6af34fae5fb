"""`configure` serves the numbers to Prometheus on loopback."""

from urllib.request import urlopen

from otel_progress import configure, names, operation

handle = configure(prometheus=0, terminal="off")
assert handle.prometheus_url is not None
assert handle.prometheus_url.startswith("http://127.0.0.1:"), handle.prometheus_url
with operation("nightly-import", total=3) as job:
    job.advance(2)
    with urlopen(handle.prometheus_url, timeout=10) as answer:
        page = answer.read().decode()
handle.shutdown(timeout_seconds=10)

for metric in (names.ITEMS, names.ACTIVE, names.LEVEL_LIMIT):
    assert f"\n{metric.prometheus}{{" in page, (metric.prometheus, page)
print("ok")
