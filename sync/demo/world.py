"""The three sandboxes of the demo: filled with people, and worked by salespeople."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sync.demo.people import CAMPAIGNS, LOST, Person, people, written

PEOPLE = {"hubspot": "contacts", "mailchimp": "members", "salesforce": "leads"}
"""Where the people of each platform are."""
OWNER = "rita.ortega@example.com"


@dataclass
class World:
    """The platforms and the people in them."""

    platforms: dict[str, Any]
    now: datetime
    rng: random.Random = field(default_factory=lambda: random.Random(11))
    people: list[Person] = field(default_factory=list)
    won: int = 0
    lost: int = 0
    open: int = 0

    def fill(self, number: int) -> dict[str, int]:
        """Put `number` people into the marketing platforms, some into both, a few into the CRM already.

        Who would be on a platform that does not run is not there; how many are where is returned.
        """
        owner, sent = self._prepare()
        self.people = people(self.rng, number, self.now)
        counts = dict.fromkeys((*PEOPLE, "both"), 0)
        for person in self.people:
            where, sold_to = self.rng.random(), self.rng.random() < 0.04
            places = {"hubspot": where < 0.7, "mailchimp": where > 0.55, "salesforce": sold_to}
            there = {name for name, wanted in places.items() if wanted and name in self.platforms}
            if "hubspot" in there:
                self._into_hubspot(person, owner)
            if "mailchimp" in there:
                self._into_mailchimp(person, sent)
            if "salesforce" in there:
                self._into_salesforce(person)
            for name in there:
                counts[name] += 1
            counts["both"] += {"hubspot", "mailchimp"} <= there
        return counts

    def _prepare(self) -> tuple[str, list[str]]:
        """Owners, campaigns, merge fields: the marketing owner's id, and the newsletters sent."""
        owner, sent = "", []
        if hubspot := self.platforms.get("hubspot"):
            owner = hubspot.add_owner(OWNER, "Rita", "Ortega")
            for name, _, _ in CAMPAIGNS:
                hubspot.add_campaign(name, "", written(self.now - timedelta(days=90)))
        if mailchimp := self.platforms.get("mailchimp"):
            mailchimp.add_merge_field("SOURCE")
            days = [written(self.now - timedelta(days=20 * n + 3)) for n in range(4)]
            sent = [mailchimp.add_campaign(f"Newsletter {n}", day) for n, day in enumerate(days)]
        if salesforce := self.platforms.get("salesforce"):
            salesforce.put("users", {"Email": OWNER, "Username": "rita", "LastName": "Ortega"})
            for name, _, spend in CAMPAIGNS:
                salesforce.put("campaigns", {"Name": name, "Type": "Other", "ActualCost": spend, "IsActive": True})
        return owner, sent

    def _into_hubspot(self, person: Person, owner: str) -> None:
        hubspot = self.platforms["hubspot"]
        phone = person.phone or ("call me" if self.rng.random() < 0.02 else "")
        values = {
            "email": person.email,
            "firstname": person.first,
            "lastname": person.last,
            "jobtitle": person.title,
            "company": person.company,
            "country": person.country,
            "phone": phone,
            "hs_analytics_source": person.channel,
            "hs_analytics_source_data_2": person.campaign,
            "lifecyclestage": "lead" if person.heat > 0.2 else "subscriber",
            "hubspot_owner_id": owner,
        }
        id = hubspot.put("contacts", {k: v for k, v in values.items() if v}, at=written(person.born))
        for kind, at, title, url in person.acts:
            hubspot.record_activity(id, kind, written(at), hs_title=title, hs_form_name=title, hs_url=url)
        if self.rng.random() < 0.03:
            hubspot.unsubscribe(person.email)

    def _into_mailchimp(self, person: Person, sent: list[str]) -> None:
        mailchimp = self.platforms["mailchimp"]
        merge = {"FNAME": person.first, "LNAME": person.last, "SOURCE": person.channel}
        values = {"email_address": person.email, "merge_fields": merge, "language": person.country.lower()}
        mailchimp.put("members", values, at=written(person.born))
        for campaign in sent:
            if self.rng.random() < 0.25 + person.heat / 2:
                at = self.now - timedelta(days=self.rng.uniform(0.1, 60))
                mailchimp.record_activity(campaign, person.email, "open", written(at))
                if self.rng.random() < person.heat:
                    url = "https://example.com/offer"
                    mailchimp.record_activity(campaign, person.email, "click", written(at + timedelta(minutes=2)), url)
        if self.rng.random() < 0.03:
            mailchimp.unsubscribe(person.email)
        elif self.rng.random() < 0.01:
            mailchimp.bounce(person.email)

    def _into_salesforce(self, person: Person) -> None:
        values = {"LastName": person.last, "FirstName": person.first, "Email": person.email, "Company": person.company}
        self.platforms["salesforce"].put("leads", values)

    def sell(self) -> None:
        """Sales work what they were handed: two in three leads become a deal, some are won, some lost, some open."""
        salesforce = self.platforms["salesforce"]
        handed = [row for row in salesforce.all("leads") if row.get("Closedloop_Id__c")]
        for row in handed:
            if self.rng.random() > 0.66:
                continue
            amount = float(self.rng.randrange(3, 60)) * 500
            made = salesforce.convert(row["Id"], amount=amount, deal=f"{row['Company']} – platform")
            fate, day = self.rng.random(), (self.now - timedelta(days=self.rng.uniform(0, 20))).date().isoformat()
            if fate < 0.42:
                salesforce.win(made["opportunities"], close_date=day)
                self.won += 1
            elif fate < 0.75:
                salesforce.lose(made["opportunities"], reason=self.rng.choice(LOST), close_date=day)
                self.lost += 1
            else:
                self.open += 1

    def live_on(self) -> int:
        """Meanwhile people change things on all sides; how many did."""
        hubspot, salesforce = self.platforms["hubspot"], self.platforms["salesforce"]
        changed = 0
        for row in self.rng.sample(salesforce.all("contacts"), k=min(12, len(salesforce.all("contacts")))):
            salesforce.edit("contacts", row["Id"], {"Title": "Head of Purchasing"})
            changed += 1
        for row in self.rng.sample(hubspot.all("contacts"), k=8):
            hubspot.unsubscribe(row["email"])
            changed += 1
        return changed
