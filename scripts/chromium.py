"""A headless Chromium, spoken to through its DevTools protocol: what scripts and tests share.

The browser resolves no name at all, so a page gets nothing but its own files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
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


class Tab:
    """One tab of a running Chromium."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as reply:
            tab = next(target for target in json.load(reply) if target["type"] == "page")
        self.socket = websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=60)
        self.serial = 0
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict:
        """Send one command and return its result; what happens in between is told to `happened`."""
        self.serial += 1
        self.socket.send(json.dumps({"id": self.serial, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.serial:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.happened(message)

    def happened(self, message: dict) -> None:
        """Take one event of the browser; here it is of no interest."""

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

    def settle(self, address: str) -> None:
        """Load an address, and wait for its fonts and its mathematics."""
        self.call("Page.navigate", url=address)
        self.wait_until("location.href !== 'about:blank' && document.readyState === 'complete'")
        math = "window.MathJax && MathJax.startup && MathJax.startup.promise"
        self.evaluate(f"({math}) ? Promise.resolve({math}).then(() => true) : true")
        self.evaluate("document.fonts.ready.then(() => true)")


@contextmanager
def started(*flags: str) -> Iterator[int]:
    """Start Chromium, with further flags, give its port, and end it; raise FileNotFoundError if there is none."""
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
            yield int(announced.read_text().split()[0])
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
