"""Open HTML pages in headless Chromium and check them: wide and narrow, light and dark.

    python scripts/check_report_page.py report.html [--shots DIR]

Fails on a console message, horizontal scroll, a request to any network, or a serious or critical
finding of axe. Needs `pip install -e ".[dev]"`, chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
from pathlib import Path

import axe_selenium_python
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

AXE = Path(axe_selenium_python.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS, SCHEMES = (1280, 375), ("light", "dark")
_RUN_AXE = "const done = arguments[0]; axe.run().then(r => done(r.violations));"


def check_page(page: Path, shots: Path | None = None) -> list[str]:
    """Every finding in words; empty where the page is sound."""
    browser = _browser()
    try:
        findings = [
            f"{page.name}, {width} px, {scheme}: {finding}"
            for width in WIDTHS
            for scheme in SCHEMES
            for finding in _findings(browser, page, width, scheme, shots)
        ]
    finally:
        browser.quit()
    return findings


def _browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def _findings(
    browser: webdriver.Chrome, page: Path, width: int, scheme: str, shots: Path | None
) -> list[str]:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    browser.get_log("performance")
    browser.get(page.resolve().as_uri())
    found = [f"console: {entry['message']}" for entry in browser.get_log("browser")]
    found += [f"request: {url}" for url in _requests(browser)]
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"horizontal scroll: content is {wide} px wide")
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)
        whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        shot = shots / f"{page.stem}_{width}_{scheme}.png"
        shot.write_bytes(base64.b64decode(whole["data"]))
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    for violation in browser.execute_async_script(_RUN_AXE):
        if violation["impact"] in ("serious", "critical"):
            nodes = "; ".join(node["html"][:120] for node in violation["nodes"][:3])
            found.append(f"axe {violation['id']}: {violation['help']} ({nodes})")
    return found


def _requests(browser: webdriver.Chrome) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in sent if not url.startswith(("file:", "data:"))]


def main() -> int:
    """Check the pages named on the command line; 1 where one has a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--shots", type=Path)
    given = parser.parse_args()
    findings = [finding for page in given.pages for finding in check_page(page, given.shots)]
    print("\n".join(findings) or "no findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
