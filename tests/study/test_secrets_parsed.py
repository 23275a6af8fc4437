"""Secrets are found by the structure of a URL, whatever characters they contain."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from emargin_train.errors import UserError
from study import secrets

HARD = ["pla/nted", "pla#nted", "pla?nted", "pla@nted", "pla%nted", "pla:nted", "pla nted", "p@/#?:%d"]
URLS = {
    "postgresql+psycopg://me:{}@host:5432/db?sslmode=on": "postgresql+psycopg://me@host:5432/db?sslmode=on",
    "mysql://me:{}@host/db": "mysql://me@host/db",
    "https://me:{}@mlflow.example:5000/path": "https://mlflow.example:5000/path",
    "http://host:5000/?token={}": "http://host:5000/",
    "postgresql://me@host/db?password={}&sslmode=require": "postgresql://me@host/db?sslmode=require",
    "s3://bucket/path?access_key=AKIA&secret_key={}&region=eu": "s3://bucket/path?region=eu",
    "https://host/a?X-Amz-Signature={}&x=1": "https://host/a?x=1",
    "https://host/a?api_token={}": "https://host/a",
}


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("secret", HARD)
def test_an_encoded_secret_is_taken_out(url, secret):
    assert secrets.without_password(url.format(quote(secret, safe=""))) == URLS[url]


@pytest.mark.parametrize("secret", [one for one in HARD if " " not in one])
def test_a_raw_password_of_a_database_is_taken_out_as_sqlalchemy_reads_it(secret):
    url = f"postgresql://me:{secret}@host:5432/db"
    shown = secrets.without_password(url)
    assert shown == "postgresql://me@host:5432/db"
    if "@" not in secret:
        read, without = make_url(url), make_url(shown)
        assert (without.username, without.host, without.port) == (read.username, read.host, read.port)


@pytest.mark.parametrize("secret", HARD)
@pytest.mark.parametrize("encoded", [True, False])
def test_a_message_of_a_library_loses_every_secret_of_the_environment(monkeypatch, secret, encoded):
    url = f"postgresql://me:{quote(secret, safe='')}@host/db"
    monkeypatch.setenv("OPTUNA_STORAGE", url)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:planted-proxy@proxy:3128")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-key")
    said = quote(secret, safe="") if encoded else secret
    text = f"cannot log in with '{said}' through planted-proxy and planted-key, see {url} (twice {url})"
    shown = secrets.without_password(text)
    for planted in (secret, quote(secret, safe=""), "planted-proxy", "planted-key"):
        assert planted not in shown
    assert "cannot log in" in shown and "postgresql://me@host/db" in shown


@pytest.mark.parametrize("url", ["http://tokenplanted@host/x", "https://tokenplanted@host:80"])
def test_a_user_without_password_is_a_token_for_a_web_server(url):
    assert "planted" not in secrets.without_password(url)


@pytest.mark.parametrize("name", secrets.VARIABLES)
@pytest.mark.parametrize(
    "url, is_read",
    [
        ("postgresql://me:planted@host:5432/db", True),
        ("postgresql://me:pla/nt#e?d@host:5432/db", True),
        ("postgresql://me:pla%40nted@host:5432/db", True),
        ("postgresql://me:pla@nted@host:5432/db", False),
        ("https://me:pla@nted@host/a", True),
        ("https://me:pla/nted@host/a", False),
    ],
)
def test_a_password_that_its_library_would_cut_in_two_is_refused(monkeypatch, name, url, is_read):
    monkeypatch.setenv(secrets.VARIABLES[name], "")
    if is_read:
        assert "nted" not in secrets.put_away(name, url)
        return
    with pytest.raises(UserError, match="@ as %40") as refused:
        secrets.put_away(name, url)
    assert "pla" not in str(refused.value) and "nted" not in str(refused.value)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20))
def test_no_encoded_password_is_ever_shown_and_the_whole_url_is_found_again(password):
    url = f"postgresql://me:{quote(password, safe='')}@host/db"
    shown = secrets.without_password(url)
    assert shown == "postgresql://me@host/db" == secrets.without_password(shown)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OPTUNA_STORAGE", "")
        assert secrets.whole("optuna_storage", secrets.put_away("optuna_storage", url)) == url


@pytest.mark.parametrize(
    "text",
    ["sqlite:////tmp/a b.db", "sqlite:///runs/x@y:z.db", "http://host:5000/a@b", "s3://bucket/a@b:c", "a:b@c",
     "postgresql://me@host/db?sslkey=/a/b&options=-csearch_path%3Dx", "http://[::1]:5000", "see http://host:5000."],
)  # fmt: skip
def test_what_holds_no_secret_stays(text):
    assert secrets.without_password(text) == text


@pytest.mark.parametrize(
    "words, shown",
    [
        ("--tracking-uri=http://me:planted@host:5000", "--tracking-uri=http://host:5000"),
        ("--optuna-storage mysql://me:pl/an?ted@host/db --x", "--optuna-storage mysql://me@host/db --x"),
        ("--optuna postgresql://me:planted@host/db", "--optuna postgresql://me@host/db"),
        ("--dataset=a@b --margin=-1:0.5 --storage s3://bucket/a", None),
    ],
)  # fmt: skip
def test_lists_of_processes_show_no_secret(monkeypatch, words, shown):
    for variable in secrets.VARIABLES.values():
        monkeypatch.setenv(variable, "")
    assert secrets.hidden(words.split()) == (shown or words).split()
    kept = [secrets.os.environ[variable] for variable in secrets.VARIABLES.values()]
    assert [url for url in kept if url] == ([] if shown is None else [re.search("[a-z]+://[^ ]+", words)[0]])


@pytest.mark.parametrize(
    "words", ["--storage s3://key:planted@bucket/a", "--dataset=http://me:planted@host/a"]
)
def test_a_secret_in_another_argument_is_refused(words):
    with pytest.raises(UserError, match="in the environment") as refused:
        secrets.hidden(words.split())
    assert "planted" not in str(refused.value)
