"""A page of the report in headless Chromium, and what it complained of or asked for."""

from __future__ import annotations

__all__ = ["LAPTOP", "OPTIONS", "PHONE", "Reader"]

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LAPTOP, PHONE = {"width": 1280, "height": 850}, {"width": 390, "height": 844}


class Reader:
    """A page of the report, and everything that it complained of or asked for."""

    def __init__(self, context, base: str) -> None:
        self.page, self.base = context.new_page(), base
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", self._failed)

    def _failed(self, request) -> None:
        # Who leaves a page before its figures are there wants them no more.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.url}: {request.failure}")

    @property
    def foreign(self) -> set[str]:
        """What was asked for that is not of the report."""
        return {url for url in self.asked if not url.startswith(f"{self.base}/")} - {"about:blank"}

    def open(self, name: str) -> None:
        # From another page: a change of what follows the # alone would load nothing.
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/{name}")

    def column(self, number: int) -> list[str]:
        return self.page.locator(f"#runs tbody tr > :nth-child({number})").all_inner_texts()

    def names(self) -> list[str]:
        links = self.page.locator("#runs tbody a")
        return links.evaluate_all("links => links.map((link) => link.getAttribute('aria-label'))")

    def place(self, header: str) -> int:
        headers = self.page.locator("#runs thead th").all_inner_texts()
        return 1 + next(n for n, text in enumerate(headers) if text.startswith(header))
