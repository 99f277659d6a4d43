"""docs/replies.md shows letters that are written, and names all that is in them."""

import json
import re
from pathlib import Path

from mailgate.model import Reason
from mailgate.reply.facts import facts_of
from mailgate.reply.samples import samples
from tests.reply.golden import letters
from tests.reply.letters import read, text

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "replies.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))


def test_every_letter_on_the_page_is_one_that_is_written():
    shown = re.findall(r"^```\n(Subject: .*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    messages = [read(made.composed()) for made in letters().values()]
    written = {f"Subject: {m['Subject']}\n\n{text(m).rstrip()}" for m in messages}
    assert len(shown) == 4
    assert set(shown) <= written


def test_every_header_and_every_field_of_job_json_is_on_the_page():
    message = read(letters()["failed-lost"].composed())
    manifest = json.loads(next(message.iter_attachments()).get_content())
    fields = {*manifest, *manifest["exit"], *manifest["times"], *manifest["streams"][0]}
    fields |= set(manifest["errors"][0])
    headers = {name for name in message if name not in {"MIME-Version", "Content-Type"}}
    assert fields | headers | set(map(str, Reason)) <= NAMED


def test_every_fact_that_a_template_has_is_on_the_page():
    for sample in samples():
        facts = facts_of(sample.draft, sample.attached, sample.excerpts)
        assert set(facts) - NAMED == set(), sample.draft.kind
