"""Hooks of the site: texts that live outside ``docs/`` become pages, and links to other files become their paths.

Markdown in the repository links to files by relative paths, which works wherever the repository is shown. The site has
only the pages, so links to anything else are shown as the file's name.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent.parent
OUTSIDE = {"readme.md": "README.md", "developers.md": "DEVELOPERS.md", "changelog.md": "CHANGELOG.md",
           "results/artifacts.md": "flows/artifacts/README.md"}
"""Pages of the site that are texts from elsewhere in the repository."""
PAGES = {path: uri for uri, path in OUTSIDE.items()}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside; leave out what no page shows."""
    for uri, path in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for file in list(files):
        if file.src_uri.startswith("results/runs/"):
            files.remove(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the repository's links into the site's."""
    here = posixpath.dirname(OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def link(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(here, target))
        uri = PAGES.get(path, path.removeprefix("docs/"))
        found = files.get_file_from_path(uri)
        if found is not None:
            relative = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
            return f"{image}[{text}]({relative}{anchor or ''})"
        if not (ROOT / path).exists():
            return match[0]  # mkdocs complains about it
        return f"{text} (`{path}`)" if text != path else f"`{path}`"

    return _LINK.sub(link, markdown)
