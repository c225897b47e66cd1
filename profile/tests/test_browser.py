# SPDX-License-Identifier: MIT
"""The page in a headless browser: layout, light and dark, messages of the browser."""

import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib

from hakmem_profile import webpage
from test_report import OTHER, measured_document, measurement, seed_document

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Widths of the window: a desktop, and the least that a window of this browser can have.
WIDTHS = (1000, 500)

# A script that writes into the title what does not fit.  The page may run no script, so that this goes into a copy
# without its policy.
PROBE = """<script>addEventListener("load", () => {
  const root = document.documentElement, wide = [];
  for (const e of document.querySelectorAll("main *"))
    if (!e.closest(".wide, pre, svg") && e.getBoundingClientRect().right > innerWidth + 1)
      wide.push(e.tagName + "." + e.className);
  let cut = 0, texts = 0;
  for (const t of document.querySelectorAll("figure svg text")) {
    const box = t.getBBox(), view = t.ownerSVGElement.viewBox.baseVal;
    texts++;
    if (box.x < -1 || box.x + box.width > view.width + 1 || box.y + box.height > view.height + 2) cut++;
  }
  document.title = `PROBE width=${innerWidth} scroll=${root.scrollWidth} height=${root.scrollHeight} ` +
    `texts=${texts} cut=${cut} wide=[${wide}]`;
});</script>"""


# The page in a frame as wide as a telephone, which is narrower than a window of this browser can be.  Writes into the
# title the size of the smallest text, the number of texts that overlap, and how much wider than the frame the page is.
TELEPHONE = 390
PHONE_PROBE = """<!DOCTYPE html><meta charset="utf-8"><title>-</title><style>body { margin: 0 }</style>
<iframe style="border: 0; width: %dpx; height: 6000px"></iframe><script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  let least = 99, over = 0, texts = 0;
  for (const chart of page.querySelectorAll("figure svg")) {
    const shown = chart.getBoundingClientRect(), boxes = [];
    if (!shown.width)
      continue;
    for (const t of chart.querySelectorAll("text")) {
      const size = parseFloat(frame.contentWindow.getComputedStyle(t).fontSize);
      least = Math.min(least, size * shown.width / chart.viewBox.baseVal.width);
      texts++;
      boxes.push(t.getBoundingClientRect());
    }
    for (const a of boxes)
      for (const b of boxes)
        over += a !== b && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4;
  }
  const root = page.documentElement;
  document.title = `PROBE least=${least.toFixed(1)} over=${over} texts=${texts} wider=${root.scrollWidth - %d}`;
});
frame.srcdoc = %s;
</script>"""


def pixels(path):
    """(width, height, rows) of a PNG with 8 bits a channel, as the browser writes it; rows of (r, g, b)."""
    with open(path, "rb") as file:
        data = file.read()
    position, packed = 8, b""
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        position += 12 + length
    channels = {2: 3, 6: 4}[colour]
    raw, stride, rows = zlib.decompress(packed), width * channels, []
    before = bytearray(stride)
    for y in range(height):
        start = y * (stride + 1)
        kind, line = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride):
            left = line[i - channels] if i >= channels else 0
            up, corner = before[i], before[i - channels] if i >= channels else 0
            if kind == 1:
                line[i] = (line[i] + left) & 255
            elif kind == 2:
                line[i] = (line[i] + up) & 255
            elif kind == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif kind == 4:
                estimate = left + up - corner
                nearest = min((abs(estimate - v), n, v) for n, v in enumerate((left, up, corner)))
                line[i] = (line[i] + nearest[2]) & 255
        rows.append([tuple(line[x : x + 3]) for x in range(0, stride, channels)])
        before = line
    return width, height, rows


@unittest.skipUnless(BROWSER, "no chromium")
class Browser(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hakmem-browser-test.")
        self.pages = {"seed": webpage.render(seed_document()), "measured": webpage.render(measured_document())}

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def browse(self, page, *arguments, width=1000, height=700):
        path = os.path.join(self.folder, "page.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page)
        profile = tempfile.mkdtemp(dir=self.folder)
        done = subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
             f"--user-data-dir={profile}", f"--window-size={width},{height}", *arguments, f"file://{path}"],
            capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "HOME": self.folder},
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done

    def test_fits(self):
        """nothing is wider than the window, and no text of a chart is cut off"""
        for name, page in self.pages.items():
            policy = re.compile(r"<meta http-equiv=.*?>\n")
            probed = policy.sub("", page).replace("</head>", PROBE + "</head>")
            for width in WIDTHS:
                with self.subTest(name, width=width):
                    dom = self.browse(probed, "--dump-dom", width=width).stdout
                    result = re.search(
                        r"PROBE width=(\d+) scroll=(\d+) height=(\d+) texts=(\d+) cut=(\d+) wide=\[(.*?)\]", dom
                    )
                    self.assertTrue(result, "the probe did not run")
                    inner, scroll, height, texts, cut = map(int, result.groups()[:5])
                    self.assertLessEqual(scroll, inner, result.group(6))
                    self.assertEqual((cut, result.group(6)), (0, ""))
                    self.assertGreater(height, 2000)
                    self.assertGreater(texts, 15)

    def test_telephone(self):
        """on a telephone charts can be read: no text below ten pixels, none over another, nothing to scroll"""
        m = measurement()
        for run, factor in zip(m.runs[OTHER], (1.0, 2.4, 1.75)):
            run.wall, run.user = factor, 0.9 * factor
        self.pages["noisy"] = webpage.render(measured_document(m))
        for name, page in self.pages.items():
            with self.subTest(name):
                text = json.dumps(page).replace("</", "<\\/")
                dom = self.browse(PHONE_PROBE % (TELEPHONE, TELEPHONE, text), "--dump-dom").stdout
                result = re.search(r"<title>PROBE least=([0-9.]+) over=(\d+) texts=(\d+) wider=(-?\d+)<", dom)
                self.assertTrue(result, "the probe did not run")
                self.assertGreaterEqual(float(result.group(1)), 10)
                self.assertEqual((int(result.group(2)), int(result.group(4))), (0, 0))
                self.assertGreater(int(result.group(3)), 15)

    def test_no_complaints(self):
        """the browser's console stays empty: the page does nothing that its policy forbids"""
        for name, page in self.pages.items():
            done = self.browse(page, "--dump-dom")
            self.assertNotIn("CONSOLE", done.stderr, name)
            self.assertIn("</html>", done.stdout)

    def test_light_and_dark(self):
        """the screenshot has a light or a dark background, and colours"""
        for dark in (False, True):
            path = os.path.join(self.folder, f"dark-{dark}.png")
            mode = ["--blink-settings=preferredColorScheme=" + ("0" if dark else "1")]
            self.browse(self.pages["seed"], f"--screenshot={path}", *mode, width=500, height=600)
            width, height, rows = pixels(path)
            self.assertEqual((width, height), (500, 600))
            ground = sum(rows[3][3]) / 3
            self.assertTrue(ground < 60 if dark else ground > 220, f"dark={dark}: ground is {rows[3][3]}")
            self.assertGreater(len({pixel for row in rows for pixel in row}), 50)
