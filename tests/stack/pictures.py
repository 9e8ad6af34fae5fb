"""
Make the pictures of the documents: Jaeger's page of a job in flight and of a killed one. Run as ``make pictures``.

Needs Jaeger in the folder ``OTEL_PROGRESS_STACK``, its web page in the folder ``JAEGER_UI`` (``jaeger-ui`` in the same
one by default), and Chromium. The page gets a script that clicks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from .jaeger import Jaeger
from .job import JOBS, command, environment
from .programs import REPOSITORY, STACK_VARIABLE, free_ports, tool, wait_for

FOLDER: Final = REPOSITORY / "docs" / "pictures"
WIDTH = 1200
SERVICE: Final = "nightly"
CLICKS: Final = """
<script>
const rows = name => [...document.querySelectorAll(".span-name")].filter(each => each.textContent.endsWith(name));
const fold = row => row.closest(".span-row")?.querySelector(".SpanTreeOffset.is-parent")?.click();
const clicking = setInterval(() => {
  const wanted = location.hash.slice(1);
  if (!wanted || !rows(wanted).length) return;
  clearInterval(clicking);
  rows(wanted).at(-1).click();
  setTimeout(() => document.querySelector(".AccordionAttributes--header").click(), 500);
  setTimeout(() => fold(rows(wanted)[0]), 1000);
  setTimeout(() => fold(rows("download")[0]), 1500);
}, 500);
</script>
"""
"""Show the attributes of the last row of a level, and fold what was over long before."""
LOAD_MILLISECONDS: Final = 15_000
"""Of the page's own time: the page is drawn when its requests have been answered."""


def browser() -> str:
    """Return the path of Chromium."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    assert found, "needs Chromium"
    return found


def picture(url: str, file: Path, height: int) -> None:
    """Draw a page into a file."""
    subprocess.run(
        [
            browser(),
            "--headless=new",
            "--no-sandbox",
            "--hide-scrollbars",
            f"--virtual-time-budget={LOAD_MILLISECONDS}",
            f"--window-size={WIDTH},{height}",
            f"--screenshot={file}",
            url,
        ],
        check=True,
        timeout=120,
        capture_output=True,
    )
    print(f"{file.relative_to(REPOSITORY)}: {file.stat().st_size / 1e3:.0f} kB")


def draw(jaeger: Jaeger, folder: Path, name: str, seconds: int, ending: str, *, row: str = "") -> None:
    """Run the job up to some second, and draw its trace."""
    before = set(jaeger.traces(SERVICE))
    arguments = [str(JOBS / "picture.py"), str(seconds), ending]
    with command(arguments, environment(jaeger.otlp_url, SERVICE, {}), folder) as running:
        if ending == "kill":
            running.gone()
        else:
            running.until("running")
        (trace_id,) = wait_for(lambda: set(jaeger.traces(SERVICE)) - before, what="the trace in Jaeger")
        picture(f"{jaeger.url}/trace/{trace_id}#{row}", FOLDER / f"{name}.png", 760 if not row else 900)


def main() -> None:
    """Make both."""
    page = os.environ.get("JAEGER_UI") or str(tool("jaeger").with_name("jaeger-ui"))
    assert Path(page, "index.html").exists(), f"no page in {page}; set JAEGER_UI, beside {STACK_VARIABLE}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine = folder / "page"
        shutil.copytree(page, mine)
        index = mine / "index.html"
        index.chmod(0o644)
        index.write_text(index.read_text().replace("</body>", f"{CLICKS}</body>"))
        jaeger = Jaeger(folder, *free_ports(4), page=str(mine))
        try:
            jaeger.start()
            draw(jaeger, folder, "jaeger-in-flight", 205, "stay")
            draw(jaeger, folder, "jaeger-killed", 255, "kill", row="table")
        finally:
            jaeger.stop()


if __name__ == "__main__":
    main()
