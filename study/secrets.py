"""Passwords, tokens and keys: taken from the environment, never stored, logged or shown.

A URL is stored without its secrets. The whole URL stays in the environment of the driver, under the name in
VARIABLES: the user put it there, or we moved it there from a flag that held a secret. From texts, such as the
messages of libraries, we remove every secret that the environment or a URL in the text holds.
"""

import os
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from emargin_train.errors import UserError

VARIABLES = {"optuna_storage": "OPTUNA_STORAGE", "tracking_uri": "MLFLOW_TRACKING_URI"}
# A value in a URL's query is secret if its key contains one of these, as access_key and X-Amz-Signature do.
SECRET_WORDS = ("pass", "pwd", "secret", "token", "key", "auth", "sig", "cred", "bearer", "session")
PUBLIC_KEYS = ("sslkey", "ssl_key", "target_session_attrs", "authmechanism", "passfile")
ENVIRONMENT_WORDS = ("PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY")
SHORTEST = 4  # a shorter secret is taken out of URLs, but not searched for in texts
HIDDEN = "***"


def without_password(text: str) -> str:
    """A URL, or a text with URLs in it, without secrets: `postgresql://user@host/name`."""
    if "://" in text and not any(c in text for c in " \n\t'\"<>"):
        return _public(text)
    for secret in _known():
        text = text.replace(secret, HIDDEN)
    words = text.split(" ")
    return " ".join(_public_word(word) if "://" in word else word for word in words)


def _public_word(word: str) -> str:
    """A word of a text, perhaps in brackets or quotes, whose URL has lost its secrets."""
    start = word.index("://")
    while start > 0 and (word[start - 1].isalnum() or word[start - 1] in "+.-"):
        start -= 1
    end = len(word)
    while end > start and word[end - 1] in ",.;:!?)]}>'\"\n":
        end -= 1
    return word[:start] + _public(word[start:end]) + word[end:]


def _public(url: str) -> str:
    """A URL without its password and without the secret values of its query.

    As SQLAlchemy reads it, a password may contain / ? # and even @. We therefore take it to end at the last @
    before the query, and so rather remove too much than too little.
    """
    scheme, _, rest = url.partition("://")
    user, _, host = _at(rest)
    if host is not None:
        is_database = not scheme.startswith(("http", "s3", "gs"))
        name = user.partition(":")[0] if is_database else ""  # a web server's user may be a token
        rest = f"{name}@{host}" if name else host
    base, mark, query = rest.partition("?")
    if not mark:
        return f"{scheme}://{rest}"
    query, hash_mark, fragment = query.partition("#")
    kept = [part for part in query.split("&") if not _is_secret(unquote_plus(part.partition("=")[0]))]
    return f"{scheme}://{base}{'?' if kept else ''}{'&'.join(kept)}{hash_mark}{fragment}"


def _at(rest: str) -> tuple[str, str, str | None]:
    """Split what follows :// into user information, "@" and the rest; the rest is None without an "@"."""
    plain = rest.split("/", 1)[0].split("?", 1)[0].split("#", 1)[0]
    user_end = next((i for i, c in enumerate(rest) if c in ":/?#@"), len(rest))
    port = plain[user_end + 1 :]
    is_port = port.isdigit() and "@" not in plain
    if rest[user_end : user_end + 1] == ":" and "@" in rest and not is_port:  # a password, whatever it holds
        user, at, host = rest.rpartition("@")
        if "?" in user and "@" in plain and not plain.endswith("@"):  # the last @ belongs to the query
            user, at, _ = plain.rpartition("@")
            host = rest[len(user) + 1 :]
        return user, at, host
    if "@" in plain:
        user, at, _ = plain.rpartition("@")
        return user, at, rest[len(user) + 1 :]
    return "", "", None


def _is_secret(key: str) -> bool:
    key = key.lower()
    return key not in PUBLIC_KEYS and any(word in key for word in SECRET_WORDS)


def _known() -> list[str]:
    """Every secret in the environment, plain and in the encoding of URLs; the longest first."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if any(word in name.upper() for word in ENVIRONMENT_WORDS):
            found.add(value)
        elif "://" in value:
            found |= _secrets_of(value)
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def _secrets_of(url: str) -> set[str]:
    """The password and the secret query values of a URL, as written and decoded."""
    rest = url.partition("://")[2]
    user, _, host = _at(rest)
    found = {user.partition(":")[2]} if host is not None else set()
    found |= {value for key, value in parse_qsl(urlsplit(url.replace(user, "", 1)).query) if _is_secret(key)}
    found |= {unquote(one) for one in found}
    return found | {quote(one, safe="") for one in found} | {quote_plus(one) for one in found}


def hidden(words: list[str]) -> list[str]:
    """The words of a command line without secrets: those of VARIABLES are moved to the environment.

    Raises UserError for a secret in any other argument.
    """
    shown = []
    for before, word in zip(("", *words), words, strict=False):
        flag, mark, url = word.partition("=") if word.startswith("--") else (before, "", word)
        public = _public(url) if "://" in url else url
        shown.append(f"{flag}{mark}{public}" if word.startswith("--") else public)
        if public != url:
            names = [name for name in VARIABLES if _is_flag(flag, name)]
            if len(names) != 1:
                raise UserError(
                    f"{flag or 'an argument'} has a password or a key in its URL {public}, which lists of "
                    "processes show: leave it out, and give it in the environment"
                )
            os.environ[VARIABLES[names[0]]] = url
    return shown


def _is_flag(word: str, name: str) -> bool:
    """Whether a word is the flag of a setting, which may be cut short."""
    return len(word) > 2 and f"--{name.replace('_', '-')}".startswith(word)


def put_away(name: str, url: str) -> str:
    """Keep a given URL's secrets in this process's environment; returns the URL without them.

    Raises UserError for a password that is not what the library that connects would read.
    """
    shown = without_password(url)
    if shown != url:
        os.environ[VARIABLES[name]] = url
    check(name, whole(name, shown))
    return shown


def check(name: str, url: str) -> None:
    """Raises UserError where a password splits a URL at a wrong place: a part of it would be shown."""
    shown = without_password(url)
    if _host(url) != _host(shown):
        raise UserError(
            f"--{name.replace('_', '-')} {shown} has a password with a character that a URL cannot hold: "
            "write @ as %40, / as %2F, # as %23, ? as %3F"
        )


def _host(url: str) -> tuple[str | None, int | None] | None:
    """Host and port as the library reads them that connects there: SQLAlchemy, or requests."""
    from sqlalchemy.engine import make_url  # it loads too slowly for `hidden`
    from sqlalchemy.exc import ArgumentError

    try:
        if url.startswith(("http:", "https:")):
            parts = urlsplit(url)
            return parts.hostname, parts.port
        read = make_url(url)
        return read.host, read.port
    except (ValueError, ArgumentError):
        return None


def whole(name: str, shown: str) -> str:
    """The URL with the secrets that the environment holds for it, if any."""
    url = os.environ.get(VARIABLES[name], "")
    return url if without_password(url) == shown else shown
