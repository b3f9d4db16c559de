"""How long until a page is painted: `python -m tests.browser.first_paint CONSOLE_URL API_TOKEN`.

Prints for each page the median and the slowest of several visits: of the first byte, of the first
contentful paint, and of everything loaded; with an empty cache (first) and with a full one (again).
"""

from __future__ import annotations

import asyncio
import sys
from statistics import median
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

from deploy.local.chromium import find_or_get

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext

VISITS = 10
PAGES = ("/", "/models", "/nodes")
TIMES = """() => new Promise((found) => new PerformanceObserver((list) => {
  const [page] = performance.getEntriesByType("navigation");
  const [paint] = list.getEntriesByName("first-contentful-paint");
  if (paint) found([page.responseStart, paint.startTime, page.loadEventEnd]);
}).observe({ type: "paint", buffered: true }))"""


async def logged_in(chromium: Browser, url: str, token: str) -> BrowserContext:
    """Return a browser of its own, with an empty cache."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 900})
    answer = await context.request.post(
        f"{url}/login", form={"token": token}, headers={"sec-fetch-site": "same-origin"}
    )
    assert answer.ok, answer.status
    return context


async def visited(context: BrowserContext, address: str) -> list[float]:
    """Return the milliseconds of one visit."""
    page = await context.new_page()
    await page.goto(address)
    times = await page.evaluate(TIMES)
    await page.close()
    return [float(each) for each in times]


async def main(url: str, token: str) -> None:
    """Visit every page several times."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=find_or_get(), args=["--no-sandbox"]
        )
        for path in PAGES:
            first, again = [], []
            for _ in range(VISITS):
                context = await logged_in(chromium, url, token)
                first.append(await visited(context, url + path))
                again.append(await visited(context, url + path))
                await context.close()
            for name, visits in (("first", first), ("again", again)):
                told = [
                    f"{what} {median(times):4.0f} (most {max(times):4.0f})"
                    for what, times in zip(
                        ("byte", "paint", "loaded"), zip(*visits, strict=True), strict=True
                    )
                ]
                sys.stdout.write(f"{path:10} {name}  {'  '.join(told)} ms\n")
        await chromium.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
