"""A headless Chromium for tests, spoken to through its DevTools protocol.

The browser resolves no name at all, so a page gets nothing but its own files; what it asked for is recorded.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
INSIDE = ("file:", "data:", "blob:", "about:")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root in a container has no other way
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome, from the variable CHROME or from PATH, or None."""
    return os.environ.get("CHROME") or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """What was seen while a page loaded."""

    requests: list[str] = field(default_factory=list)  # every address that was asked for
    errors: list[str] = field(default_factory=list)  # console errors, uncaught exceptions, failed requests

    @property
    def outside(self) -> list[str]:
        """Return the addresses that are not part of the build."""
        return [url for url in self.requests if not url.startswith(INSIDE)]


class Browser:
    """One tab of a running Chromium."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as reply:
            tab = next(target for target in json.load(reply) if target["type"] == "page")
        self.socket = websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=60)
        self.serial = 0
        self.page = Page()
        self.events: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Network.setCacheDisabled", cacheDisabled=True)

    def call(self, method: str, **params: Any) -> dict:
        """Send one command and return its result; what happens in between is recorded."""
        self.serial += 1
        self.socket.send(json.dumps({"id": self.serial, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.serial:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._record(message)

    def _record(self, message: dict) -> None:
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

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page; promises are awaited."""
        reply = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(f"{expression}: {reply['exceptionDetails']['text']}")
        return reply["result"].get("value")

    def wait_until(self, expression: str, seconds: float = 15) -> bool:
        """Wait until a JavaScript expression is true; return False if it is not within the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.evaluate(f"Boolean({expression})"):
                return True
            time.sleep(0.1)
        return False

    def open(self, path: Path | str, *, scheme: str = "light", width: int = 1280, height: int = 1600) -> Page:
        """Load a file (or an address) in the light or dark scheme, wait for it and its mathematics to settle."""
        address = path.resolve().as_uri() if isinstance(path, Path) else path
        self.call("Page.navigate", url="about:blank")
        self.call("Runtime.evaluate", expression="0")
        self.page, self.events = Page(), []
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=address)
        self.wait_until("location.href !== 'about:blank' && document.readyState === 'complete'")
        math = "window.MathJax && MathJax.startup && MathJax.startup.promise"
        self.evaluate(f"({math}) ? Promise.resolve({math}).then(() => true) : true")
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
    program = find_chromium()
    if program is None:
        raise FileNotFoundError("No Chromium was found: install the package chromium, or set CHROME to its path.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            announced = Path(profile) / "DevToolsActivePort"
            end = time.monotonic() + 60
            while not (announced.exists() and announced.read_text().strip()):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{program} did not start (exit status {process.poll()}).")
                time.sleep(0.1)
            browser = Browser(int(announced.read_text().split()[0]))
            yield browser
            browser.socket.close()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
