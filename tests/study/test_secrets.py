"""A password is removed from everything that is shown, and is found again in the environment."""

import pytest

from study import secrets

SHOWN = {
    "postgresql://me:planted@host:5432/db": "postgresql://me@host:5432/db",
    "postgresql+psycopg2://me:pl%40nted@host/db?sslmode=require": (
        "postgresql+psycopg2://me@host/db?sslmode=require"
    ),
    "mysql://:planted@host/db": "mysql://host/db",
    "postgresql://me@host/db?password=planted": "postgresql://me@host/db",
    "postgresql://me@host/db?password=planted&sslmode=require": "postgresql://me@host/db?sslmode=require",
    "postgresql://me@host/db?sslmode=require&password=planted": "postgresql://me@host/db?sslmode=require",
    "http://me:planted@mlflow.example:5000": "http://mlflow.example:5000",
    "no route to postgresql://me:planted@host/db, sorry": "no route to postgresql://me@host/db, sorry",
}


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown_has_no_password(text):
    assert secrets.without_password(text) == SHOWN[text]
    assert secrets.without_password(SHOWN[text]) == SHOWN[text]


@pytest.mark.parametrize(
    "text",
    ["sqlite:////tmp/a.db", "postgresql://host/db", "http://127.0.0.1:5000", "s3://bucket/a@b:c", "a:b@c"],
)
def test_what_has_no_password_stays(text):
    assert secrets.without_password(text) == text


def test_a_password_put_away_is_found_again(monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", "")
    url = "postgresql://me:planted@host/db"
    shown = secrets.put_away("optuna_storage", url)
    assert "planted" not in shown and secrets.whole("optuna_storage", shown) == url
    assert secrets.whole("optuna_storage", "postgresql://me@elsewhere/db") == "postgresql://me@elsewhere/db"
