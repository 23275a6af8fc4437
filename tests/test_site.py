"""The pages of the reference: texts of the code as Markdown, and nothing that is declared is left out."""

import argparse

import pytest
from mkdocs.exceptions import PluginError

from docs.site import commands, hooks, markdown
from docs.site.reference import PAGES
from emargin_train.declarations import declarations
from emargin_train.evaluation.metrics import METRICS
from emargin_train.hyperparameters import all_hyperparameters
from study.schema import schema

DOCSTRING = """The loss of a batch.

    l = -log(a / b)

h: (B, T, D), any
    scale
temperature, margin: above 0
Returns a number; x_i is *not* changed.
Raises UserError for <nothing>.
"""
AS_MARKDOWN = r"""The loss of a batch.

    l = -log(a / b)

- `h`: (B, T, D), any scale
- `temperature, margin`: above 0

Returns a number; x\_i is \*not\* changed.

Raises UserError for &lt;nothing&gt;."""


def test_a_docstring_becomes_markdown():
    assert markdown.docstring(DOCSTRING) == AS_MARKDOWN
    assert markdown.docstring(None) == ""


@pytest.mark.parametrize(
    "page, names",
    [
        ("hyperparameters", [one.flag for one in all_hyperparameters().values()]),
        ("metrics", list(METRICS)),
        ("methods", [f"## {name}\n" for name in declarations().methods]),
        ("encoders", [f"## {name}\n" for name in declarations().encoders]),
        ("columns", [f"`{name}` |" for name in schema().names]),
        ("python", ["### emargin_train.fit\n", "### study.run\n", "### analysis.load\n", ".encode_file("]),
    ],
)
def test_nothing_is_left_out(page, names):
    text = PAGES[f"reference/{page}.md"]()
    assert [name for name in names if name not in text] == []


def test_every_program_and_flag_has_its_place():
    text = commands.commands_page() + commands.analyses_page()
    for module in commands.programs():
        parser = commands.parser_of(module)
        flags = [flag for action in parser._actions for flag in action.option_strings]
        hidden = [f for a in parser._actions if a.help == argparse.SUPPRESS for f in a.option_strings]
        missing = set(flags) - set(hidden) - {"-h"} - commands.OF_ALL
        assert module in text and [flag for flag in missing if f"`{flag}" not in text] == [], module


@pytest.mark.parametrize(
    "html", ['<script src="https://cdn.example/x.js">', '<img alt="" src="//a.example/b.png">']
)
def test_a_page_that_needs_the_web_is_refused(html):
    class Page:
        class file:
            src_uri = "page.md"

    with pytest.raises(PluginError, match="page.md loads .*example"):
        hooks.on_post_page(html, Page, None)
    text = '<a href="https://arxiv.org">a link</a> <img src="figures/front.svg">'
    assert hooks.on_post_page(text, Page, None) == text
