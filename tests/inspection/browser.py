"""A headless Chromium, driven by chromedriver over HTTP (W3C WebDriver), with the standard library alone."""

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element in answers, fixed by the standard
_ARGUMENTS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    " disable-component-update disable-sync"
).split()


class Browser:
    """One window. Used in `with`, which starts and ends it.

    Args:
      directory: an empty one, for the profile.
    """

    def __init__(self, directory):
        self._profile = directory
        self._driver = shutil.which("chromedriver")
        self._chromium = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
        )
        if not self._driver or not self._chromium:
            pytest.skip("Chromium with chromedriver (Debian: apt install chromium chromium-driver)")

    def __enter__(self):
        self._process = subprocess.Popen(
            [self._driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self._process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            raise RuntimeError(f"{self._driver} did not start")
        self._session = f"http://127.0.0.1:{found[1]}/session"
        arguments = [f"--{argument}" for argument in _ARGUMENTS] + [f"--user-data-dir={self._profile}"]
        capabilities = {
            "goog:chromeOptions": {"binary": self._chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        try:
            answer = self._send("", {"capabilities": {"alwaysMatch": capabilities}})
        except BaseException:
            self._end_driver()
            raise
        self._session += f"/{answer['sessionId']}"
        return self

    def __exit__(self, *_):
        try:
            self._send("", method="DELETE")
        finally:
            self._end_driver()

    def _end_driver(self):
        self._process.terminate()
        self._process.wait(30)
        self._process.stdout.close()

    def _send(self, path, content=None, method=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._session + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def open(self, path, width=1000, height=1200, touch=False):
        """Opens a file in a window of this size in CSS pixels, as on a phone if `touch`."""
        self.chrome(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self._send("/url", {"url": path.as_uri()})

    def chrome(self, command, **arguments):
        """A command of the DevTools protocol."""
        return self._send("/goog/cdp/execute", {"cmd": command, "params": arguments})

    def run(self, script, *arguments):
        """The result of the body of a JavaScript function; if it is a promise, what that becomes."""
        return self._send("/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        """The first element that a CSS selector finds."""
        return self._send("/element", {"using": "css selector", "value": selector})

    def click(self, selector):
        """Clicks it as a user does, in its middle; a select's option is chosen."""
        self._send(f"/element/{self.find(selector)[_ELEMENT]}/click", {})

    def type(self, selector, keys):
        """Types into it; \\ue012 to \\ue015 are the arrows to the left, up, right and down."""
        self._send(f"/element/{self.find(selector)[_ELEMENT]}/value", {"text": keys})

    def point(self, selector, x, y, kind="mouse"):
        """Moves a mouse there, or drags a finger there from the middle; x and y are shares of the element."""
        element = self.find(selector)
        box = self.run("const r = arguments[0].getBoundingClientRect(); return [r.width, r.height]", element)
        shift = [round((share - 0.5) * side) for share, side in zip((x, y), box, strict=True)]

        def move(x, y):
            return {"type": "pointerMove", "duration": 0, "origin": element, "x": x, "y": y}

        actions = [move(*shift)]
        if kind == "touch":
            down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
            actions = [move(0, 0), down, *actions, up]
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self._send("/actions", {"actions": [source]})

    def log(self):
        """What the console has shown since the last call."""
        return self._send("/se/log", {"type": "browser"})

    def screenshot(self, path):
        """Writes what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self._send("/screenshot")))
