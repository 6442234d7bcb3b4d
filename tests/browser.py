"""The browser of the tests: what a page asked for and what it complained of is recorded (see scripts/chromium.py)."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.chromium import Tab, find_chromium, started

__all__ = ["Browser", "Page", "chromium", "find_chromium"]
INSIDE = ("file:", "data:", "blob:", "about:")


@dataclass
class Page:
    """What was seen while a page loaded."""

    requests: list[str] = field(default_factory=list)  # every address that was asked for
    errors: list[str] = field(default_factory=list)  # console errors, uncaught exceptions, failed requests

    @property
    def outside(self) -> list[str]:
        """Return the addresses that are not part of the build."""
        return [url for url in self.requests if not url.startswith(INSIDE)]


class Browser(Tab):
    """One tab of a running Chromium."""

    def __init__(self, port: int) -> None:
        self.page = Page()
        self.events: list[str] = []
        super().__init__(port)
        self.call("Network.setCacheDisabled", cacheDisabled=True)

    def happened(self, message: dict) -> None:
        """Record requests and errors."""
        method, params = message.get("method", ""), message.get("params", {})
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.page.requests.append(params["request"]["url"])
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            self.page.errors.append(f"request failed: {params.get('errorText')} ({params.get('type')})")
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.page.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.page.errors.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.page.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def open(self, path: Path | str, *, scheme: str = "light", width: int = 1280, height: int = 1600) -> Page:
        """Load a file (or an address) in the light or dark scheme, wait for it and its mathematics to settle."""
        address = path.resolve().as_uri() if isinstance(path, Path) else path
        self.call("Page.navigate", url="about:blank")
        self.call("Runtime.evaluate", expression="0")
        self.page, self.events = Page(), []
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.settle(address)
        count = -1
        while count != len(self.page.requests):  # late requests: fonts, widgets
            count = len(self.page.requests)
            time.sleep(0.3)
            self.evaluate("document.fonts.ready.then(() => true)")
        return self.page

    @contextmanager
    def running_first(self, script: str) -> Iterator[None]:
        """Meanwhile every page runs this JavaScript before its own: what a browser lacks can be taken away so."""
        made = self.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        try:
            yield
        finally:
            self.call("Page.removeScriptToEvaluateOnNewDocument", identifier=made["identifier"])

    def screenshot(self, path: Path, full: bool = False) -> None:
        """Write what is seen (or the full page) as a PNG file."""
        reply = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(reply["data"]))


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Start Chromium, with further flags, and close it at the end; raise FileNotFoundError if there is none."""
    with started(*flags) as port:
        browser = Browser(port)
        yield browser
        browser.socket.close()
