"""Fetch files over HTTP: downloads are resumed and checked, and a file appears whole or not at all.

During the download a file is called `.<name>.part`. If such a part is left over, the next attempt continues
from it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from emargin_train.errors import UserError

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")

ATTEMPTS = 4
CONNECTIONS = 4
TIMEOUT_S = (10, 60)  # to connect, between bytes
LONGEST_WAIT_S = 120.0
BUSY = (429, 500, 502, 503, 504)
PIECE = 1 << 18


class Unreachable(UserError):
    """The server did not answer, or not to the end."""


@dataclass(frozen=True)
class Wanted:
    """One file to fetch; `sha256` None = not known."""

    url: str
    target: Path
    sha256: str | None = None


def session() -> "Session":
    import requests

    opened = requests.Session()
    opened.headers["User-Agent"] = "emargin-study (research; sequential, resuming downloads)"
    opened.headers["Accept-Encoding"] = "identity"  # lengths are those of the files
    return opened


def sizes(wanted: Sequence[Wanted], web: "Session") -> list[int | None]:
    """Bytes of each file as the server tells, None where it does not."""

    def size(one: Wanted) -> int | None:
        answer = _ask(web, "HEAD", one.url)
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None

    return _each(size, wanted)


def fetch_all(wanted: Sequence[Wanted], web: "Session", progress: Callable[[int], None]) -> list[str]:
    """Fetch all, a few at a time; their sha256. At the first failure the others end too.

    progress: called with the bytes received since its last call
    """
    return _each(lambda one: fetch(one, web, progress), wanted)


def _each(do: Callable[[Wanted], T], wanted: Sequence[Wanted]) -> list[T]:
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        return list(pool.map(do, wanted))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def text(url: str, web: "Session", limit: int = 10_000_000) -> str:
    """A small file as text."""
    with _ask(web, "GET", url) as answer:
        pieces, total = [], 0
        for piece in _pieces(answer, url):
            total += len(piece)
            if total > limit:
                raise UserError(
                    f"{url} is larger than the {limit:,} bytes that it may have: check the address"
                )
            pieces.append(piece)
    return b"".join(pieces).decode("utf-8", "replace")


def fetch(wanted: Wanted, web: "Session", progress: Callable[[int], None]) -> str:
    """Fetch one file to its target; its sha256. UserError where it is not the file expected."""
    part = wanted.target.with_name(f".{wanted.target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.is_file() and part.stat().st_size > 0
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(min(2.0**attempt / 2, LONGEST_WAIT_S))
        try:
            _append(wanted.url, part, web, progress)
        except Unreachable as error:
            reason, resumed = str(error), True
            continue
        found = digest(part)
        if wanted.sha256 is not None and found != wanted.sha256:
            part.unlink()
            reason = f"{wanted.url} has the sha256 {found[:16]}..., not {wanted.sha256[:16]}... as published"
            if resumed:  # the part may have been of another version: once more, from the start
                resumed = False
                continue
            raise UserError(
                f"{reason}: it was refused; try again later, or get it by hand and give --data-dir"
            )
        part.replace(wanted.target)
        return found
    if part.is_file() and part.stat().st_size == 0:
        part.unlink()
    raise Unreachable(reason)


def _append(url: str, part: Path, web: "Session", progress: Callable[[int], None]) -> None:
    """Continue a part up to the file's end."""
    have = part.stat().st_size if part.is_file() else 0
    with _ask(web, "GET", url, {"Range": f"bytes={have}-"} if have else {}) as answer:
        if answer.status_code == 416:  # nothing after what is here: it is whole, or another file's
            if answer.headers.get("Content-Range", "") != f"bytes */{have}":
                part.unlink()
                raise Unreachable(f"{url} changed while it was fetched")
            return
        goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        with part.open("ab" if goes_on else "wb") as file:
            for piece in _pieces(answer, url):  # Unreachable where it ends before its Content-Length
                file.write(piece)
                progress(len(piece))


def _pieces(answer: "Response", url: str) -> Iterator[bytes]:
    import requests

    try:
        yield from answer.iter_content(PIECE)
    except (requests.RequestException, OSError) as error:
        raise Unreachable(f"{url} was cut off ({_short(error)})") from None


def _ask(web: "Session", method: str, url: str, headers: dict[str, str] | None = None) -> "Response":
    """The server's answer; where it is busy, asked again after as long as it wishes."""
    import requests

    for attempt in range(ATTEMPTS):
        try:
            answer = web.request(
                method, url, headers=headers, stream=True, timeout=TIMEOUT_S, allow_redirects=True
            )
        except requests.RequestException as error:
            raise Unreachable(f"{url} cannot be reached ({_short(error)})") from None
        if answer.status_code in (200, 206, 416):
            return answer
        answer.close()
        if answer.status_code not in BUSY:
            raise UserError(
                f"{url} answers {answer.status_code} {answer.reason}: "
                "the file is not there, or not open to everyone"
            )
        wait = _wait(answer.headers.get("Retry-After"), attempt)
        if wait > LONGEST_WAIT_S or attempt == ATTEMPTS - 1:
            break
        sleep(wait)
    raise Unreachable(
        f"{url} answers {answer.status_code} {answer.reason}, and asks to come back in {wait:.0f} s"
    )


def _wait(told: str | None, attempt: int) -> float:
    """Seconds to wait: as told (a number or a date), else longer each time."""
    if told is not None and told.strip().isdigit():
        return float(told)
    try:
        when = parsedate_to_datetime(told or "")
        return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return float(2**attempt)


def _short(error: BaseException) -> str:
    """The innermost reason, without addresses of objects."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return " ".join(str(error).split())[:120] or type(error).__name__


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
