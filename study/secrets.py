"""Passwords of databases: taken from the environment, never stored, logged or shown.

A URL is kept without its password. The whole URL stays in the environment of the driver, under the name in
VARIABLES, where the user put it, or to which the value of a flag with a password was moved.
"""

import os
import re

VARIABLES = {"optuna_storage": "OPTUNA_STORAGE", "tracking_uri": "MLFLOW_TRACKING_URI"}
IN_AUTHORITY = re.compile(r"(?<=://)([^\s/?#@:]*):[^\s/?#@]*@")
IN_QUERY = re.compile(r"(?<=[?&])(?:password|passwd|pwd|sslpassword)=[^\s&]*&?", re.IGNORECASE)


def without_password(text: str) -> str:
    """A URL, or a text that holds some, as it may be shown: `postgresql://user@host/name`."""
    text = IN_AUTHORITY.sub(lambda match: f"{match[1]}@" if match[1] else "", text)
    shortened = IN_QUERY.sub("", text)
    return text if shortened == text else re.sub(r"[?&](?=\s|$)", "", shortened)


def put_away(name: str, url: str) -> str:
    """Keep a given URL's password in this process's environment; returns the URL without it."""
    shown = without_password(url)
    if shown != url:
        os.environ[VARIABLES[name]] = url
    return shown


def whole(name: str, shown: str) -> str:
    """The URL with the password that the environment holds for it, if any."""
    url = os.environ.get(VARIABLES[name], "")
    return url if without_password(url) == shown else shown
