"""Check the site for what some readers cannot use: ``nox -s accessibility``, or ``accessibility.py SITE AXE``.

SITE is the folder of the built site, AXE the file ``axe.min.js`` of axe-core. Chromium opens a page of each kind, wide
as on a desktop and narrow as on a phone, light and dark. A serious or critical fault fails.
"""

import itertools
import shutil
import sys
from pathlib import Path

from selenium import webdriver

PAGES = ["index.html", "tutorials/first.html", "reference.html", "interactive/index.html"]
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-dev-shm-usage"
AXE = "return axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)"


def chromium() -> webdriver.Chrome:
    """Start the browser that is on PATH, with its driver."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS.split():
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver") or ""))


def faults(driver: webdriver.Chrome, axe: str, page: Path, width: int, scheme: str) -> list[str]:
    """Return the serious faults of a page, a line for each."""
    colors = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", colors)
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())
    driver.execute_script(axe)
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:120]}"
        for fault in driver.execute_script(AXE)
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]


def main() -> None:
    """Look at every page."""
    site, axe = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).read_text(encoding="utf-8")
    count = 0
    with chromium() as driver:
        for page, width, scheme in itertools.product(PAGES, (1200, 390), ("light", "dark")):
            found = faults(driver, axe, site / page, width, scheme)
            count += len(found)
            print(f"{page}, {width} px, {scheme}: {len(found)} serious faults", *found, sep="\n  ")
    sys.exit(count > 0)


if __name__ == "__main__":
    main()
