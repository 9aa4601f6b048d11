"""What Mailchimp's connector reads over its sandbox, through the real SDK: members, campaigns, activities."""

from __future__ import annotations

from datetime import timedelta

from config.clock import ManualClock
from connectors.api import Connector, Gone
from connectors.mailchimp import platform
from connectors.mailchimp.client import subscriber_hash
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.manifest import load
from tests.connectors.mailchimp.kit import FIELDS, fill, values
from tests.connectors.surroundings import pulled

LASTING = load(platform.folder).objects["members"].lasting_id


def test_a_pull_brings_every_status_and_the_archived_last(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 5)
    chimp.unsubscribe("p1@x.io")
    chimp.bounce("p2@x.io")
    chimp.remove("members", ids[3])
    found, _ = pulled(mailchimp, "members", None, FIELDS)
    assert {record.id: values(record)["status"] for record in found if not record.gone} == {
        ids[0]: "subscribed",
        ids[1]: "unsubscribed",
        ids[2]: "cleaned",
        ids[4]: "subscribed",
    }
    assert [(record.id, record.gone) for record in found if record.gone] == [(ids[3], Gone.ARCHIVED)]


def test_pages_of_a_thousand_can_be_resumed_at_every_cursor(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = set(fill(chimp, 2300))
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(10):
        page = next(iter(mailchimp.pull("members", cursor, FIELDS)))
        seen |= {record.id for record in page.records}
        cursor = page.cursor
        if not page.more:
            break
    assert seen == ids


def test_a_later_pull_brings_what_changed_in_two_calls(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = fill(chimp, 30)
    clock.advance(3600)
    _, cursor = pulled(mailchimp, "members", None, FIELDS)
    clock.advance(3600)
    chimp.edit("members", ids[7], {"merge_fields": {"FNAME": "New"}})
    before = mailchimp.calls
    found, cursor = pulled(mailchimp, "members", cursor, FIELDS)
    assert [record.id for record in found] == [ids[7]]
    assert mailchimp.calls - before == 2
    assert pulled(mailchimp, "members", cursor, FIELDS)[0][0].id == ids[7]  # the overlap


def test_a_change_that_is_shown_late_is_not_missed(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = fill(chimp, 3)
    clock.advance(3600)
    _, cursor = pulled(mailchimp, "members", None, FIELDS)
    chimp.edit("members", ids[1], {"merge_fields": {"FNAME": "Late"}})
    late = chimp.store.members[subscriber_hash("p1@x.io")]
    late["last_changed"] = (clock.now() - timedelta(seconds=200)).isoformat()  # changed before the pull, shown after it
    found, _ = pulled(mailchimp, "members", cursor, FIELDS)
    assert [record.id for record in found] == [ids[1]]


def test_a_changed_address_keeps_its_record(chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock) -> None:
    [id] = fill(chimp, 1)
    clock.advance(60)
    chimp.edit("members", id, {"email_address": "new@x.io"})
    [record], _ = pulled(mailchimp, "members", None, FIELDS)
    assert (record.id, values(record)["email_address"]) == (id, "new@x.io")
    assert values(record)[LASTING] == id


def test_an_account_without_contact_ids_goes_by_the_hash(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    chimp.store.with_contact_ids = False
    fill(chimp, 1)
    [record], _ = pulled(mailchimp, "members", None, FIELDS)
    assert record.id == subscriber_hash("p0@x.io")
    assert LASTING not in values(record)


def test_campaigns_and_what_members_did(chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock) -> None:
    fill(chimp, 2)
    campaign = chimp.add_campaign("News", "2026-11-20T10:00:00Z", to=["p0@x.io", "p1@x.io"])
    chimp.add_campaign("Quiet", "2026-11-19T10:00:00Z")
    chimp.record_activity(campaign, "p0@x.io", "open", "2026-11-20T11:00:00Z")
    chimp.record_activity(campaign, "p0@x.io", "click", "2026-11-20T11:01:00Z", "https://x.io")
    chimp.record_activity(campaign, "p1@x.io", "bounce", "2026-11-20T10:01:00Z")
    [told, _], _ = pulled(mailchimp, "campaigns", None, [])
    assert (values(told)["title"], values(told)["emails_sent"], values(told)["unique_opens"]) == ("News", 2, 1)
    found, cursor = pulled(mailchimp, "email_activity", None, [])
    kinds = ["email_bounce", "email_click", "email_open", "email_sent", "email_sent"]
    assert sorted(values(record)["type"] for record in found) == kinds
    assert len({record.id for record in found}) == 5
    clock.advance(3600)
    chimp.record_activity(campaign, "p1@x.io", "open", "2026-11-23T10:59:00Z")
    chimp.record_activity(campaign, "p0@x.io", "unsub", "2026-11-23T10:59:30Z")
    before = mailchimp.calls
    found, cursor = pulled(mailchimp, "email_activity", cursor, [])
    told = {(values(r)["type"], values(r)["email_address"]) for r in found}
    assert told == {("email_open", "p1@x.io"), ("email_unsubscribe", "p0@x.io")}
    assert mailchimp.calls - before == 3  # the reports, and of the one campaign that moved what moved
    before = mailchimp.calls
    assert pulled(mailchimp, "email_activity", cursor, [])[0] == []
    assert mailchimp.calls - before == 1


def test_a_member_edited_while_pages_turn_takes_no_other_along(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = []
    for number in range(1500):
        ids.append(chimp.put("members", {"email_address": f"p{number}@x.io"}))
        clock.advance(1)
    pages = mailchimp.pull("members", None, FIELDS)
    seen = {record.id for record in next(pages).records}
    clock.advance(30)
    chimp.edit("members", ids[3], {"merge_fields": {"FNAME": "Moved"}})
    cursor = ""
    for page in pages:
        seen |= {record.id for record in page.records}
        cursor = page.cursor
    assert seen == set(ids)
    assert ids[3] in {record.id for record in pulled(mailchimp, "members", cursor, FIELDS)[0]}
