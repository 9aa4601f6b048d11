"""The three sandboxes of the demo: filled with people, and worked by salespeople."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sync.demo.people import CAMPAIGNS, LOST, Person, people, written


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
        """Put `number` people into the marketing platforms, some into both, a few into the CRM already."""
        hubspot, mailchimp, salesforce = (self.platforms[n] for n in ("hubspot", "mailchimp", "salesforce"))
        mailchimp.add_merge_field("SOURCE")
        owner = hubspot.add_owner("rita.ortega@example.com", "Rita", "Ortega")
        salesforce.put("users", {"Email": "rita.ortega@example.com", "Username": "rita", "LastName": "Ortega"})
        self.people = people(self.rng, number, self.now)
        sent = [
            mailchimp.add_campaign(f"Newsletter {n}", written(self.now - timedelta(days=20 * n + 3))) for n in range(4)
        ]
        for name, _, spend in CAMPAIGNS:
            hubspot.add_campaign(name, "", written(self.now - timedelta(days=90)))
            salesforce.put("campaigns", {"Name": name, "Type": "Other", "ActualCost": spend, "IsActive": True})
        counts = {"hubspot": 0, "mailchimp": 0, "both": 0, "salesforce": 0}
        for person in self.people:
            where = self.rng.random()
            if where < 0.7:
                counts["hubspot"] += 1
                self._into_hubspot(person, owner)
            if where > 0.55:
                counts["mailchimp"] += 1
                self._into_mailchimp(person, sent)
            counts["both"] += 0.55 < where < 0.7
            if self.rng.random() < 0.04:
                counts["salesforce"] += 1
                self._into_salesforce(person)
        return counts

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
