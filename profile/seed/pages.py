# SPDX-License-Identifier: MIT
"""Writes the page of each report that is kept: pages.py FOLDER TO, where FOLDER is profile/seed.

A report.json has all that its page shows.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from hakmem_profile import webpage  # noqa: E402


def main(folder, to):
    for report in sorted(pathlib.Path(folder).glob("*/*/report.json")):
        page = pathlib.Path(to, report.relative_to(folder)).with_suffix(".html")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(webpage.render(json.loads(report.read_text(encoding="utf-8"))), encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
