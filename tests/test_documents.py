"""The documents: their code runs, their commands are read by the real parsers, and the tree shows every file.

The pages whose blocks run are the README, the tutorial and the how-to pages, as mkdocs.yml arranges them. A
block that does not run is preceded by a comment that says why.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from docs.site.commands import parser_of
from emargin_train.errors import UserError
from study.__main__ import COMMANDS, build_parser
from study.command_line import settings_of
from study.plan import arms
from tests.analysis import synthetic

ROOT = Path(__file__).resolve().parents[1]
NAVIGATION = {
    key: of for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for key, of in entry.items()
}
PAGES = [
    "README.md",
    "docs/" + NAVIGATION["Tutorial"],
    *(f"docs/{path}" for entry in NAVIGATION["How to"] for path in entry.values()),
]
EVERY_PAGE = sorted(
    {*PAGES, "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))}
)
HISTORY = ("docs/log.md", "docs/findings.md")  # these have commands as they were run at the time
RUNS = {"bash": ("bash", "-euo", "pipefail"), "python": ("python",)}
REASON = re.compile(r"<!-- not executed: (.+) -->")
PART_OF = re.compile(r"part of (\S+),")
COMMAND = re.compile(  # at the start of a line, or within another command
    r"(?:^\s*(?:\.venv/bin/)?|(?P<within>[('\"]|&&\s*|--\s+))"
    r"(?:python -m (?P<module>(?:study|emargin_train|analysis)[.\w]*)|emargin-study)(?P<words> .*|$)"
)
SECONDS = 300  # for one block, on a busy machine


@dataclass(frozen=True)
class Block:
    """A block of code; reason: why it does not run, None = it does."""

    kind: str
    code: str
    line: int
    reason: str | None


def blocks(page: str) -> list[Block]:
    found, reason = [], None
    for token in MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            found.append(Block(token.info.strip(), token.content, token.map[0] + 1, reason))
        said = REASON.fullmatch(token.content.strip()) if token.type == "html_block" else None
        reason = said.group(1) if said else None
    return found


def commands(page: str) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module and words of every command of ours in the blocks of a page."""
    for block in blocks(page):
        if block.kind not in ("bash", ""):
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            found = COMMAND.search(line)
            if found is not None:
                text = found.group("words")
                if found.group("within"):
                    text = re.split(r"[')|&;]", text)[0]
                yield block.line, found.group("module") or "emargin-study", shlex.split(text, comments=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_or_says_why(page):
    for block in blocks(page):
        assert block.reason is not None or block.kind in RUNS, (
            f"{page}:{block.line}: {block.kind or 'no language'}"
        )
        part = PART_OF.match(block.reason or "")
        if part:  # then it is a copy of lines that do run
            lines = {line.strip() for line in (ROOT / part.group(1)).read_text().splitlines()}
            assert {line.strip() for line in block.code.splitlines()} <= lines, f"{page}:{block.line}"


@pytest.mark.parametrize("page", [page for page in EVERY_PAGE if page not in HISTORY])
def test_every_command_is_one(page):
    """The program's own parser takes all of its words, and a study's settings are possible."""
    for line, module, words in commands(page):
        try:
            read(module, words)
        except (UserError, SystemExit) as error:
            if getattr(error, "code", 2) == 0:  # --help or --version
                continue
            pytest.fail(f"{page}:{line}: {module} {shlex.join(words)}: {error}")


def read(module: str, words: list[str]) -> None:
    """Raises UserError or SystemExit for words that the program does not take."""
    if module == "emargin-study":
        if words[0] not in COMMANDS:
            build_parser().parse_args(words)
            return
        command = COMMANDS[words[0]]
        module, words = command.module, [*command.words, *words[1:]]
    args: argparse.Namespace = parser_of(module).parse_args(words)
    own_files = module == "study.run" and (
        args.resume or args.config or (args.dataset or "").endswith(".toml")
    )
    if module == "study.run" and not own_files:
        arms(settings_of(args))


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_lists_and_tables_stand_apart(page):
    """Otherwise the site shows them as part of the paragraph before."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.S | re.M)
    lines = ["", *text.splitlines()]
    for before, line in zip(lines, lines[1:], strict=False):
        starts = re.match(r"(- |\d+\. |\|)", line)
        goes_on = re.match(r"(- |\d+\. |\||  |$)", before)
        assert not starts or goes_on, f"{page}: an empty line is missing before: {line}"


def test_a_wrong_command_would_be_found():
    for words in (
        "run --dataset sleepeeg-sim --treshold 0.4",
        "run --dataset ecg --margin=-1",
        "encode a.pt",
    ):
        with pytest.raises(UserError):
            read("emargin-study", words.split())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.reason is None for block in blocks(page))]
)
def test_blocks_run_one_after_another(page, tmp_path):
    """In a folder that has a study in runs/first, as `make study` leaves one (this one is made up)."""
    synthetic.write(tmp_path / "runs" / "first", synthetic.rows())
    home = Path(sys.executable).parent
    env = os.environ | {
        "PATH": f"{home}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_ADDRESS": "local",  # never a cluster of other tests
        "OMP_NUM_THREADS": "1",
    }
    for block in blocks(page):
        if block.reason is None:
            code, output = run(block, tmp_path, env)
            assert code == 0, f"{page}:{block.line}\n{output[-4000:]}"


def run(block: Block, folder: Path, env: dict[str, str]) -> tuple[int, str]:
    """Exit code and output. A block that takes too long is ended with all processes that it started."""
    with subprocess.Popen(
        (*RUNS[block.kind], "-c", block.code),
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as ran:
        try:
            output, _ = ran.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(ran.pid, signal.SIGTERM)
            raise
        return ran.returncode, output


def tree() -> dict[str, set[str]]:
    """The entries of the tree in CONTRIBUTING.md, by folder; a folder without entries of its own has none."""
    (block,) = [one for one in blocks("CONTRIBUTING.md") if one.code.startswith("emargin_train/")]
    found: dict[str, set[str]] = {"": set()}
    folders = [""]  # the folder of each depth
    for line in block.code.splitlines():
        depth, odd = divmod(len(line) - len(line.lstrip()), 2)
        if odd or depth >= 3:  # more about the line before
            continue
        for entry in re.split(r"\s{2,}", line.strip())[0].split():
            found.setdefault(folders[depth], set()).add(entry)
            if entry.endswith("/"):
                folders[depth + 1 :] = [folders[depth] + entry]
    return found


def test_the_tree_names_what_is_there():
    for folder, entries in tree().items():
        for entry in entries:
            assert list((ROOT / folder).glob(entry.rstrip("/"))), f"{folder}{entry} is in the tree only"


def test_the_tree_shows_every_file():
    """Each file has a name or a pattern in its folder, unless the tree shows its folder as a whole."""
    shown = tree()
    for package in ("emargin_train", "study", "analysis"):
        for file in (ROOT / package).rglob("*.py"):
            folder, name = file.parent.relative_to(ROOT).as_posix() + "/", file.name
            if folder not in shown:
                parent, _, last = folder.rstrip("/").rpartition("/")
                folder, name = parent + "/", last + "/"
            is_shown = name == "__init__.py" or any(fnmatch(name, entry) for entry in shown[folder])
            assert is_shown, f"{folder}{name} is not in the tree of CONTRIBUTING.md"
