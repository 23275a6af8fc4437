"""What mkdocs calls while it builds the site: pages of the reference, and links that leave docs/."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.site.reference import PAGES  # noqa: E402

# Files outside docs/ that belong to the site, at the same path there.
OUTSIDE = ("*.md", "LICENSE", "CITATION.cff", "benchmarks/README.md", "examples/*")
FROM_THE_WEB = re.compile(
    r'<(?:script|img|iframe|link rel="stylesheet")[^>]*(?:src|href)="((?:https?:)?//[^"]*)'
)
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add generated pages and files from outside docs/."""
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                name = path.relative_to(ROOT).as_posix()
                files.append(
                    File(
                        name,
                        str(ROOT),
                        config.site_dir,
                        config.use_directory_urls,
                        inclusion=InclusionLevel.INCLUDED,
                    )
                )
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links of the repository become links of the site, whose root holds what docs/ holds."""
    own = page.file.src_uri
    here = own if page.file.src_dir == str(ROOT) or own in PAGES else f"docs/{own}"

    def of_site(match: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(here), match.group()))
        return os.path.relpath(target.removeprefix("docs/"), os.path.dirname(own))

    return LINK.sub(of_site, markdown) if own not in PAGES else markdown


def on_post_page(output: str, page: Any, config: Any) -> str:
    """The site needs no network. Raises PluginError for a page that would load something from the web."""
    found = FROM_THE_WEB.search(output)
    if found is not None:
        raise PluginError(f"{page.file.src_uri} loads {found.group(1)}: put a copy beside it")
    return output
