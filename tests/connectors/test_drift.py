"""What each platform tells of its fields fits the ready mappings: nothing of a healthy account is frozen."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors import registry
from mappings.model import Kind
from sync import scaffold
from sync.drift import vanished
from sync.workspace import Workspace


@pytest.mark.parametrize("name", registry.names())
def test_no_field_of_a_ready_mapping_is_taken_for_vanished(name: str, tmp_path: Path) -> None:
    with registry.platform(name).sandbox(seed=3) as sandbox:
        scaffold.write(tmp_path, {name: scaffold.sandbox_connection(tmp_path, name, sandbox)}, tail="\n")
        with Workspace.open(tmp_path) as workspace:
            for object, _ in workspace.objects(name):
                schema = workspace.connector(name).describe(object)
                assert vanished(workspace.mapped(name)[object], schema) == [], object


LIVE = ("activecampaign", "constant_contact", "hubspot", "mailchimp", "outreach", "salesforce", "zoho")
"""Platforms whose people have fields that an admin adds, renames and deletes."""


@pytest.mark.parametrize("name", LIVE)
def test_what_the_account_has_is_asked_for_each_time(name: str, tmp_path: Path) -> None:
    """A daemon's connector lives for weeks."""
    with registry.platform(name).sandbox(seed=3) as sandbox:
        scaffold.write(tmp_path, {name: scaffold.sandbox_connection(tmp_path, name, sandbox)}, tail="\n")
        with Workspace.open(tmp_path) as workspace:
            [people, *_] = [object for object, facts in workspace.objects(name) if facts.kind is Kind.LEAD]
            workspace.connector(name).describe(people)
            before = len(sandbox.log)
            workspace.connector(name).describe(people)
            assert len(sandbox.log) > before
