"""LinkedIn held against what others recorded and what its own examples show: replays and comparisons, as values.

LinkedIn publishes no description. What is at hand: five bodies recorded by others, and the requests and answers of its
public collections, as a third party wrote them down. `test_recorded.py` and `test_wire.py` judge, `measure` counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema
import orjson
import yaml

from config.clock import ManualClock
from config.errors import RecordRejected
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.linkedin.client import VERSION
from connectors.linkedin.errors import classify
from connectors.linkedin.sandbox import AD_ACCOUNT, INSTANCE, PAGE, LinkedInSandbox
from connectors.sandbox import Answer, Call, FaultKind, Logged
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import Budget, Tokens, pulled
from tests.connectors.truth import Truth
from tests.shared import shared

CLOCK = datetime(2026, 11, 23, 10, tzinfo=UTC)
FILES = ("leads", "conversions", "campaigns")
FORM = 7234246
"""The form that the example's response answers."""

Row = dict[str, Any]


# what is at hand


@cache
def bodies() -> dict[str, Any]:
    """The recorded bodies by file name; none of them tells its request."""
    return {one["file"].rpartition("/")[2].removesuffix(".json"): one["response_body"] for one in exchanges("linkedin")}


UNUSED = {
    "adTargetingFacets": "nothing is targeted from here",
    "dmpEngagementSourceTypes": "matched audiences are an exemption",
    "schemas": "the recorders' own list of objects, no answer of LinkedIn's",
}


@cache
def described() -> Row:
    """The collections: paths, and the answers that are shown in them."""
    found: Row = {"paths": {}, "examples": {}, "schemas": {}}
    for name in (*(f"linkedin-marketing-{file}" for file in FILES), "linkedin-sales-navigator"):
        told = yaml.safe_load(shared("specs", "linkedin_sales_navigator", f"{name}.yml").read_text(encoding="utf-8"))
        root = "/v2" if "sales" in name else "/rest"
        for path, methods in told["paths"].items():
            place = found["paths"].setdefault(re.sub(r"\{[^}]*\}", "{}", root + path), {})
            for method, operation in methods.items():
                known = place.setdefault(method, {"parameters": []})
                place[method] = {**known, **operation}
                place[method]["parameters"] = [*known["parameters"], *(operation.get("parameters") or ())]
        found["schemas"].update(told["components"]["schemas"])
        for key, example in (told["components"].get("examples") or {}).items():
            found["examples"][key.removesuffix("Example")] = example.get("value")
    return found


def example(name: str) -> Any:
    return described()["examples"][name]


# a world


@contextmanager
def world(at: datetime = CLOCK, **settings: Any) -> Iterator[tuple[LinkedInSandbox, Connector]]:
    clock = ManualClock(at)
    with LinkedInSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, LinkedInSandbox)
        made = connector(sandbox, clock, sandbox.base_url, **settings)
        try:
            yield sandbox, made
        finally:
            made.close()


def connector(sandbox: LinkedInSandbox, clock: ManualClock, base: str, **settings: Any) -> Connector:
    """With an access token alone: what the app's secret is asked for is no part of these calls."""
    told = sandbox.account()
    auth: dict[str, Secret | str] = {"mode": "token", "access_token": Secret(told["auth"]["access_token"])}
    account = Account("linkedin", "linkedin", auth, {**told["settings"], **settings}, base)
    return registry.platform("linkedin").open(account, Surroundings(clock, Budget(), Tokens()))


def say(sandbox: LinkedInSandbox, line: str, body: Any) -> None:
    """LinkedIn answers the next call of `line` with `body`."""
    sandbox.inject(FaultKind.ANSWER, line, answer=Answer.of(body))


# the reading side: each replay gives what it could not take


def leads_replayed(*, embedded: bool) -> set[str]:
    """The example's response with its form, which comes along or has to be looked for."""
    response, forms = example("FetchFullLeadDataResponse200"), example("GetFormsForTheResponse200")["elements"]
    form = next(one for one in forms if one["id"] == FORM)
    with world(datetime(2023, 8, 1, tzinfo=UTC)) as (sandbox, made):
        say(
            sandbox,
            "GET /rest/leadFormResponses$",
            {"elements": [{**response, **({"form": form} if embedded else {})}]},
        )
        say(sandbox, "GET /rest/leadForms$", {"elements": forms})
        [record] = pulled(made, "leads", None, ["email"])[0]
    raw = orjson.loads(record.raw)
    return {f"lead: {name}" for name, value in _wanted(response, form).items() if raw.get(name) != value}


def _wanted(response: Row, form: Row) -> Row:
    """What a reader of the example has to get out of it, worked out from the bodies by other means."""
    questions = {one["questionId"]: one for one in form["content"]["questions"]}
    answers: dict[str, str] = {}
    for told in response["formResponse"]["answers"]:
        details = told["answerDetails"]
        text = details.get("textQuestionAnswer", {}).get("answer")
        if text is None:
            [chosen] = details["multipleChoiceAnswer"]["options"]
            options = questions[told["questionId"]]["questionDetails"]["multipleChoiceQuestionDetails"]["options"]
            text = next(one["text"]["localized"]["es_ES"] for one in options if one["id"] == chosen)
        answers[str(told["questionId"])] = text
    named = {id: questions[int(id)] for id in answers}
    predefined = {one["predefinedField"]: answers[id] for id, one in named.items() if "predefinedField" in one}
    return {
        "id": response["id"],
        "answers": answers,
        "predefined": predefined,
        "custom": {one["name"]: answers[id] for id, one in named.items() if "predefinedField" not in one},
        "email": predefined["WORK_EMAIL"],
        "otherEmails": [predefined["EMAIL"]],
        "hidden": {one["name"]: one["value"] for one in form["hiddenFields"]},
        "consents": {str(one["consentId"]): one["accepted"] for one in response["formResponse"]["consentResponses"]},
        "emailConsent": True,
        "testLead": True,
        "formName": form["name"],
        "formVersion": "1",
        "campaign": response["leadMetadata"]["sponsoredLeadMetadata"]["campaign"].rpartition(":")[2],
        "creative": response["associatedEntity"]["associatedCreative"].rpartition(":")[2],
        "submittedAt": "2023-07-20T23:09:59.288Z",
    }


def check_replayed() -> set[str]:
    """The ad account as it was recorded, the roles and the rules as they are shown."""
    [account] = bodies()["adAccounts"]["elements"]
    roles, pages = (
        example(f"{name}Response200")
        for name in ("RetrieveAuthenticatedUsersSponsored", "ValidateTheUsersOrganization")
    )
    rules = example("FetchExistingConversionRulesResponse200")
    lost = set()
    mine = next(one["account"] for one in roles["elements"] if one["role"] == "VIEWER").rpartition(":")[2]
    page = pages["elements"][0]["organization"].rpartition(":")[2]
    settings = {"ad_accounts": mine, "organizations": page, "conversion_rules": "won=1403456, qualified=1103890"}
    with world(**settings) as (sandbox, made):
        say(sandbox, "GET /rest/adAccounts/", account)
        say(sandbox, "GET /rest/adAccountUsers", roles)
        say(sandbox, "GET /rest/organizationAcls", pages)
        say(sandbox, "GET /rest/conversions", rules)
        health = made.check()
    lost |= {"adAccounts: name"} if health.account_name != account["name"] else set()
    lost |= {"roles"} if health.notes[1:] != (f"role VIEWER on ad account {mine} may not tell conversions",) else set()
    return lost


def campaigns_replayed() -> set[str]:
    rows = example("FetchActiveCampaignsResponse200")["elements"]
    with world() as (sandbox, made):
        say(sandbox, "GET /rest/adAccounts/.*/adCampaigns", {"elements": rows})
        found = pulled(made, "campaigns", None, ["name"])[0]
    told = {(one.id, orjson.loads(one.raw)["name"]) for one in found}
    return set() if told == {(str(row["id"]), row["name"]) for row in rows} else {"campaigns"}


def events_replayed() -> set[str]:
    """The example's answer to two events."""
    with world() as (sandbox, made):
        say(sandbox, "POST /rest/conversionEvents", example("StreamMultipleConversionEventsResponse200"))
        results = list(made.push([outcome(1), outcome(2)], ["consent"]))
    return {f"event {result.key}" for result in results if result.error}


def export_replayed() -> set[str]:
    """The example's finished job, an hour before its addresses end."""
    job = example("CrmDataValidationJob")
    at = datetime.fromtimestamp(job["expireAt"] / 1000 - 3600, UTC)
    with world(at, sales_navigator_partner=True, crm_instance=INSTANCE) as (sandbox, made):
        here = [address.replace("https://media.licdn.com", sandbox.base_url) for address in job["downloadUrls"]]
        say(sandbox, "GET /v2/crmDataValidationExportJobs", {**job, "downloadUrls": here})
        for number, address in enumerate(here):
            told = Answer(200, f"recordId,recordType\r\n003{number},Contact\r\n".encode(), {"content-type": "text/csv"})
            sandbox.inject(FaultKind.ANSWER, f"GET {address.removeprefix(sandbox.base_url)}", answer=told)
        found, cursor = pulled(made, "crm_flags", orjson.dumps({"since": 0, "job": "1"}).decode(), [])
    lost = set() if [one.id for one in found] == [f"003{number}" for number in range(len(here))] else {"export: files"}
    return lost | (set() if orjson.loads(cursor) == {"since": job["nextExportStartAt"]} else {"export: next"})


def associations() -> Row:
    """The shown answer to two keys."""
    place = described()["paths"]["/v2/salesNavigatorProfileAssociations"]["get"]["responses"]["200"]
    shown: Row = place["content"]["application/json"]["examples"]["SuccessResponse"]["value"]
    return shown


def associations_replayed() -> set[str]:
    """Both profiles, by keys that tell their members by place."""
    shown = associations()
    with world(sales_navigator_partner=True, crm_instance=INSTANCE) as (sandbox, made):
        say(sandbox, "GET /v2/salesNavigatorProfileAssociations", shown)
        found = made.read("crm_profiles", "id", ["contact-12345", "contact-67890"], [])
    told = {orjson.loads(one.raw)["profile"] for one in found.values()}
    return set() if told == {row["profile"] for row in shown["results"].values()} else {"associations"}


def refusal_replayed() -> set[str]:
    """The recorded answer for what is not there."""
    body = bodies()["delete-missing-adAccounts"]
    error = classify(body["status"], {}, body, VERSION)
    return set() if isinstance(error, RecordRejected) and error.code == body["code"] else {"refusal"}


def replayed() -> dict[str, set[str]]:
    """What each replay could not take, by the body replayed."""
    roles = check_replayed()
    return {
        "FetchFullLeadData": leads_replayed(embedded=True),
        "GetFormsForThe": leads_replayed(embedded=False),
        "adAccounts": {one for one in roles if one.startswith("adAccounts")},
        "RetrieveAuthenticatedUsersSponsored": {one for one in roles if one == "roles"},
        "ValidateTheUsersOrganization": {one for one in roles if one == "roles"},
        "FetchExistingConversionRules": roles - {"adAccounts: name", "roles"},
        "FetchActiveCampaigns": campaigns_replayed(),
        "StreamMultipleConversionEvents": events_replayed(),
        "CrmDataValidationJob": export_replayed(),
        "BatchProfileAssociation": associations_replayed(),
        "delete-missing-adAccounts": refusal_replayed(),
    }


# the sandbox beside the examples

EXPLAINED = {
    ".localized.sv_SE is missing": "the example's form is Swedish, the sandbox's German",
    ".paging is missing": "campaigns page by a token in later versions, as the recorded ad accounts do",
}
"""Ends of differences, and why there is one."""


def explained(difference: str) -> bool:
    return any(difference.endswith(end) for end in EXPLAINED)


def ask(sandbox: LinkedInSandbox, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Any:
    known = {"x-restli-protocol-version": "2.0.0", "linkedin-version": VERSION}
    auth = {"authorization": f"Bearer {sandbox.login.first}"}
    told = {**known, **auth, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return orjson.loads(sandbox.answer(Call(method, path.partition("?")[0], {}, told, body, path)).body)


def compared() -> dict[str, set[str]]:
    """Members of recorded or shown answers that the sandbox's have not, by body."""
    with world() as (sandbox, _):
        form = sandbox.ask("Big", [{"name": "Custom question 0", "options": ["a", "b"]}], consents=1)
        id = sandbox.submit({"FIRST_NAME": "A", "EMAIL": "a@x.example"}, form=form, consents=(True,))
        sandbox.campaigns = {id: sandbox.campaigns[id] for id in list(sandbox.campaigns)[:1]}
        owner = f"(sponsoredAccount:urn%3Ali%3AsponsoredAccount%3A{AD_ACCOUNT})"
        job = sandbox.exports.start(0)
        sandbox.clock.sleep(3600)
        search = "search=(status:(values:List(ACTIVE)))&pageSize=100"
        ours = {
            "FetchFullLeadDataResponse200": ask(sandbox, f"/rest/leadFormResponses/{id}"),
            "GetFormsForTheResponse200": ask(sandbox, f"/rest/leadForms?q=owner&owner={owner}"),
            "ValidateTheUsersOrganizationResponse200": ask(sandbox, "/rest/organizationAcls?q=roleAssignee"),
            "RetrieveAuthenticatedUsersSponsoredResponse200": ask(sandbox, "/rest/adAccountUsers?q=authenticatedUser"),
            "FetchExistingConversionRulesResponse200": ask(
                sandbox, f"/rest/conversions?q=account&account=urn%3Ali%3AsponsoredAccount%3A{AD_ACCOUNT}"
            ),
            "FetchActiveCampaignsResponse200": ask(
                sandbox, f"/rest/adAccounts/{AD_ACCOUNT}/adCampaigns?q=search&{search}"
            ),
            "StreamMultipleConversionEventsResponse200": ask(
                sandbox,
                "/rest/conversionEvents",
                "POST",
                orjson.dumps({"elements": []}),
                x_restli_method="BATCH_CREATE",
            ),
            "CrmDataValidationJob": ask(sandbox, f"/v2/crmDataValidationExportJobs/{job}?crmInstanceId=x"),
        }
        found = {name: differences(example(name), told) for name, told in ours.items()}
        sandbox.match("003A", "ACoAna")
        keys = "(instanceId:00D000000000001,partner:SFDC,recordId:003A)"
        told = ask(sandbox, f"/v2/salesNavigatorProfileAssociations?ids=List({keys})")
        found["BatchProfileAssociation"] = differences(_by_place(associations()), _by_place(told))
        account = ask(sandbox, f"/rest/adAccounts/{AD_ACCOUNT}")
        found["adAccounts"] = differences(bodies()["adAccounts"]["elements"][0], account)
        missing = ask(sandbox, "/rest/adAccounts/1")
        found["delete-missing-adAccounts"] = differences(bodies()["delete-missing-adAccounts"], missing)
    return found


def _by_place(told: Row) -> Row:
    """The members of an answer by keys, of which only the first is kept."""
    return {name: list(members.values())[:1] for name, members in told.items()}


# what is sent


def outcome(number: int, **values: Any) -> Operation:
    plain = {
        "event": "won",
        "event_id": f"e{number}",
        "at": "2026-11-20T10:00:00.000Z",
        "email": f"p{number}@example.com",
    }
    return Operation(f"k{number}", Verb.CREATE, "conversions", {**plain, **values}, match={"event_id": f"e{number}"})


def filled(clock: ManualClock) -> LinkedInSandbox:
    """Some of everything."""
    sandbox = LinkedInSandbox(seed=1, clock=clock)
    form = sandbox.ask("Žádost", [{"name": "Budget", "options": ["málo", "hodně"]}], {"utm_source": "linkedin"})
    for number in range(3):
        names = {"FIRST_NAME": f"P{number}", "LAST_NAME": "Žofie", "EMAIL": f"p{number}@example.com"}
        sandbox.submit({**names, "Budget": [1]}, form=form, consents=(True,))
    webinar = sandbox.ask("Webinar", owner=sandbox.page)
    sandbox.submit({"EMAIL": "w@example.com"}, form=webinar, leadType="EVENT")
    sandbox.ask("Webinar 2", owner=sandbox.page, revises=webinar)
    sandbox.leads.embeds_current = True  # so that the version which was answered is looked for
    sandbox.flag("003A")
    sandbox.match("003A", "ACoAna")
    clock.sleep(60)
    return sandbox


SETTINGS_OF_TOUR = {
    "organizations": PAGE,
    "lead_types": "SPONSORED,EVENT",
    "sales_navigator_partner": True,
    "crm_instance": INSTANCE,
}


def tour(made: Connector, sandbox: LinkedInSandbox, clock: ManualClock, shown: Any, told: Any) -> list[Any]:
    """Every sort of call once."""
    out: list[Any] = [made.check().account_id]
    for object in ("campaigns", "leads", "submissions"):
        cursor = ""
        for page in made.pull(object, None, ["campaignName"]):
            out += [shown(record) for record in page.records]
            cursor = page.cursor
        out.append(cursor)
    ids = [row["id"] for row in sandbox.all("leads")]
    out += [shown(record) for record in made.read("leads", "id", [ids[0], "no"], []).values()]
    names = {"first_name": "Ana", "last_name": "Žofie", "title": "Chief", "company": "X", "country": "CZ"}
    more = {"amount": "1500.0", "currency": "USD", "li_fat_id": "df5gf5", "consent": "subscribed"}
    operations = [outcome(1, **names, **more), outcome(2, lead="r-1", external_id="c-1"), outcome(3, event="lost")]
    out += [told(result) for result in made.push(operations, ["consent"])]
    cursor = ""
    out += [shown(record) for record in made.read("crm_profiles", "id", ["003A", "003B"], []).values()]
    for _ in range(2):
        for page in made.pull("crm_flags", cursor or None, []):
            out += [shown(record) for record in page.records]
            cursor = page.cursor
        clock.sleep(3600)
    return out


def toured() -> LinkedInSandbox:
    """The sandbox after the tour, its log full."""
    clock = ManualClock(CLOCK)
    sandbox = filled(clock)
    with sandbox, closing(connector(sandbox, clock, sandbox.base_url, **SETTINGS_OF_TOUR)) as made:
        tour(made, sandbox, clock, lambda record: None, lambda result: None)
    return sandbox


def template(line: Logged) -> str:
    return re.sub(r"(?<=/)\d+(?=/|$)|(?<=Responses/)[^/]+", "{}", line.path)


UNDESCRIBED = {"pageSize": "read from the recorded ad accounts' page token"}


def faults(log: list[Logged]) -> dict[str, set[str]]:
    """What the collections do not know of each kind of request that was sent, by method and path."""
    found: dict[str, set[str]] = {}
    for line in log:
        if line.path.startswith(("/oauth/", "/ambry/")):
            continue
        path = template(line)
        place = described()["paths"].get(path, {}).get(line.method.lower())
        wrong = found.setdefault(f"{line.method} {path}", set())
        if place is None:
            wrong.add("path")
            continue
        known = {one["name"] for one in place.get("parameters") or () if one["in"] == "query"}
        wrong |= {name for name in line.query if name not in known | {"start", "count", "fields"} | set(UNDESCRIBED)}
        wrong |= _body_faults(line, place)
    return found


def _body_faults(line: Logged, place: Row) -> set[str]:
    """A body against the schema where it has members, else against the example: no member may be new or of another
    type, but for those that other sources tell of."""
    if not line.body:
        return set()
    name = place["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema, body = described()["schemas"][name], orjson.loads(line.body)
    if "properties" in schema:
        errors = {error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)}
        return errors | {member for member in body if member not in schema["properties"]}
    shown = schema["example"]
    elements = zip(body["elements"], [*shown["elements"]] * len(body["elements"]), strict=False)
    wrong = {fault for ours, theirs in elements for fault in differences(ours, theirs)}
    return wrong - {".user.lead is missing", ".user.externalIds is missing"}


def measure() -> Truth:
    """The counts."""
    unread = replayed()
    sent = faults(toured().log)
    unlike = {difference for some in compared().values() for difference in some}
    return Truth(
        bodies=len(unread),
        unread=sum(len(some) for some in unread.values()),
        operations=len(sent),
        invalid=sum(1 for wrong in sent.values() if wrong),
        differences=len(unlike),
        explained=sum(map(explained, unlike)),
    )
