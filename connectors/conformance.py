"""What makes a connector a connector: one suite for all platforms, ours and third parties'.

Each rule is a promise of the port (`connectors/api.py`). A platform keeps it, which the suite shows over the platform's
own sandbox through real sockets, or its manifest says under `exemptions` why it cannot. `pytest --connector NAME` runs
the suite; `closedloop connectors` shows which rules a platform keeps.

The suite makes records out of the manifest's `sample:` of an object (`{n}` is a number) and edits them by `edited:`;
what it is run on is in `conformance_bench.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import orjson

from config.clock import ManualClock
from config.errors import AuthorizationLost, ClosedloopError, InDoubt, Misconfigured
from connectors import manifest
from connectors.api import Connector, Health, Operation, Platform, Request, Verb
from connectors.conformance_bench import NUMBER, START, Bench, numbered
from mappings.model import Kind

WRONG = "wr0ng-s3cret"
README = ("Set-up", "Limits", "Doubts")
"""What a platform's README has headings for."""


def manifest_is_whole(bench: Bench) -> None:
    """The manifest, the ready mapping and the README say the same of the same objects."""
    facts = bench.facts
    assert facts.name == bench.platform.name
    for name, mapped in bench.mapping.items():
        assert name in facts.objects, f"the mapping has {name}, the manifest has not"
        assert mapped.kind is facts.objects[name].kind, f"{name} is of two kinds"
    pulled = [name for name, one in facts.objects.items() if one.pull and not one.brief]
    unmapped = [name for name in pulled if name not in bench.mapping]
    assert not unmapped, f"the ready mapping leaves out {unmapped}"
    told = (bench.platform.folder / "README.md").read_text(encoding="utf-8")
    missing = [heading for heading in README if f"# {heading}" not in told]
    assert not missing, f"README.md has no heading {missing}"
    unknown = [name for name in facts.exemptions if name not in RULES and not facts.exemptions[name]]
    assert not unknown, f"exemptions without a reason: {unknown}"
    assert bench.sampled, "no object has a sample: the suite has nothing to look at"


def import_is_light(bench: Bench) -> None:
    """Importing the platform's package loads no HTTP library and no SDK: `closedloop --help` imports them all."""
    package = bench.platform.open.__module__
    code = f"import sys, {package}; print([m for m in ('httpx', 'requests', 'urllib3', 'uvicorn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", f"importing {package} loads {done.stdout.strip()}"


def health_is_told(bench: Bench) -> None:
    """`check` names the account, the same one each time, and counts its calls."""
    with bench.connected() as connector:
        first, second = connector.check(), connector.check()
        assert isinstance(first, Health)
        assert first.account_id
        assert first.account_id == second.account_id
        assert connector.calls >= 1


def wrong_secrets_are_told(bench: Bench) -> None:
    """A log-in with wrong secrets ends in an error that says so, without the secret."""
    auth = dict(bench.sandbox.account()["auth"])
    secrets = {name for mode in bench.facts.auth.values() for name in mode.secrets}
    wrong = {name: WRONG if name in secrets else value for name, value in auth.items()}
    assert wrong != auth, "the sandbox's account has no secret"
    try:
        with bench.connected(wrong) as connector:
            connector.check()
    except (AuthorizationLost, Misconfigured) as error:
        told = f"{error} {error.__cause__} {error.__context__}"
    else:
        raise AssertionError("wrong secrets opened the account")
    assert WRONG not in told, "the secret stands in the error"


def schema_fits(bench: Bench) -> None:
    """`describe` knows every field that the ready mapping writes, and lets it be written."""
    with bench.connected() as connector:
        for object, facts in bench.facts.objects.items():
            schema = connector.describe(object)
            mapped = bench.mapping.get(object)
            if not schema.fields or mapped is None or not facts.push:
                continue
            for name in sorted(mapped.pushed):
                remote = mapped.entries[name].remote
                if remote.startswith(schema.open_ended or ("\0",)):
                    continue
                assert remote in schema.fields, f"{object}: {remote} is written and not described"
                assert schema.fields[remote].writable, f"{object}: {remote} is written and read-only"


def unknown_is_refused(bench: Bench) -> None:
    """An object that the platform has not is one of our errors."""
    with bench.connected() as connector:
        try:
            list(connector.pull("no_such_object", None, ()))
        except ClosedloopError:
            return
        raise AssertionError("an unknown object was pulled")


def pull_brings_everything(bench: Bench) -> None:
    """A first pull brings every record, and what it says of each can be read by its mapping."""
    with bench.connected() as connector:
        for object in bench.sampled:
            found = bench.pulled(connector, object)
            assert found.ids >= set(bench.ids[object]), f"{object}: a first pull misses records"
            mapped = bench.mapping[object]
            for record in found.records:
                _, problems = mapped.read(mapped.decode(record.raw))
                assert not problems, f"{object}: {problems[0].field} cannot be read: {problems[0].reason}"


def cursors_can_be_resumed(bench: Bench) -> None:
    """After any page a pull can be taken up again by another process: together they bring everything."""
    with bench.connected() as connector:
        for object in bench.sampled:
            seen: set[str] = set()
            pages = connector.pull(object, None, bench.fields(object))
            for page in pages:
                seen.update(record.id for record in page.records)
                with bench.connected() as other:
                    rest = bench.pulled(other, object, page.cursor).ids if page.more else set()
                assert seen | rest >= set(bench.ids[object]), f"{object}: a resumed pull misses records"


def changes_are_pulled(bench: Bench) -> None:
    """A later pull brings what was edited, and what was made, since."""
    with bench.connected() as connector:
        for object in bench.sampled:
            cursor = bench.pulled(connector, object).cursors[-1]
            bench.clock.advance(3600)
            made = bench.put(object, NUMBER)
            wanted = {made}
            if edited := bench.facts.objects[object].edited:
                bench.sandbox.edit(object, bench.ids[object][0], numbered(edited, 0))  # type: ignore[attr-defined]
                wanted.add(bench.ids[object][0])
            bench.clock.advance(3600)
            assert bench.pulled(connector, object, cursor).ids >= wanted, f"{object}: a change was missed"


def deletes_are_pulled(bench: Bench) -> None:
    """What is deleted there is told as gone."""
    with bench.connected() as connector:
        for object in bench.sampled:
            facts = bench.facts.objects[object]
            if facts.kind is not Kind.LEAD or facts.deletes == "no":
                continue
            cursor = bench.pulled(connector, object).cursors[-1]
            bench.clock.advance(3600)
            bench.sandbox.remove(object, bench.ids[object][-1])  # type: ignore[attr-defined]
            bench.clock.advance(8 * 86_400 if facts.deletes == "sweep" else 3600)  # sweeps come once a day or a week
            later = bench.pulled(connector, object, cursor)
            gone = {record.id for record in later.records if record.gone is not None}
            assert bench.ids[object][-1] in gone, f"{object}: a deletion was missed"
            return
    raise AssertionError("no object of people tells of deletions: name `deletes` under exemptions, with the reason")


def bulk_gives_the_same(bench: Bench) -> None:
    """A pull by the bulk interface brings the same records as one by pages."""
    with bench.connected() as connector:
        for object in bench.sampled:
            usual = bench.pulled(connector, object).ids
            assert bench.pulled(connector, object, bulk=True).ids == usual, f"{object}: bulk brings others"


def records_are_read(bench: Bench) -> None:
    """`read` finds records by id, and says nothing of ids that are none."""
    with bench.connected() as connector:
        read = 0
        for object in bench.sampled:
            if bench.facts.objects[object].kind is not Kind.LEAD:
                continue
            id = bench.ids[object][0]
            found = bench.read(connector, object, "id", id)
            assert found[id].id == id
            missing = id[:-1] + ("1" if id[-1:] != "1" else "2") * 2
            assert missing not in bench.read(connector, object, "id", missing)
            read += 1
        assert read, "no object of people can be read"


def writes_have_one_result_each(bench: Bench) -> None:
    """People are created and updated, each with exactly one result, and stand there as written."""
    with bench.connected() as connector:
        made = bench.push(connector, *(bench.person(number) for number in range(7)))
        ids = [result.id for result in made.values() if result.error is None]
        assert len(set(ids)) == 7, [str(result.error) for result in made.values() if result.error][:1]
        found = bench.read(connector, bench.people, "id", *ids)
        assert {bench.unified(record)["email"] for record in found.values()} == {
            f"new{number}@people.example" for number in range(7)
        }
        changed = bench.person(0, first_name="Other")
        update = Operation("u", Verb.UPDATE, bench.people, changed.values, id=made["op0"].id, match=changed.match)
        assert bench.push(connector, update)["u"].error is None
        [record] = bench.read(connector, bench.people, "id", made["op0"].id).values()
        assert bench.unified(record)["first_name"] == "Other"


def repeated_creates_make_one(bench: Bench) -> None:
    """A create of somebody who stands there already changes or links that record: no second one comes of it."""
    with bench.connected() as connector:
        first = bench.push(connector, bench.person(1))["op1"]
        again = bench.push(connector, bench.person(1))["op1"]
        assert again.id == first.id
        assert not again.created


def lost_answers_are_found(bench: Bench) -> None:
    """A create whose answer was lost is in doubt or done, never refused, and is found by what it was matched by."""
    with bench.connected() as connector:
        bench.push(connector, bench.person(2))  # whatever is looked up first has been looked up
        before = len(bench.sandbox.all(bench.people))  # type: ignore[attr-defined]
        bench.sandbox.inject("lost_answer", "^(POST|PUT|PATCH) ", times=1)
        operation = bench.person(3)
        result = bench.push(connector, operation)["op3"]
        bench.sandbox.faults.clear()
        assert result.error is None or isinstance(result.error, InDoubt), f"a lost answer was told as {result.error!r}"
        [(key, value)] = operation.match.items()
        found = bench.read(connector, bench.people, key, str(value))
        after = len(bench.sandbox.all(bench.people))  # type: ignore[attr-defined]
        assert after - before == len(found) <= 1, "a lost answer made two records, or one that is not found"


def consent_is_never_loosened(bench: Bench) -> None:
    """An opt-out can be written; whoever opted out is not opted in again by a write."""
    assert "email_consent" in bench.mapping[bench.people].pushed, "the ready mapping writes no consent"
    with bench.connected() as connector:
        made = bench.push(connector, bench.person(4))["op4"]
        for consent in ("unsubscribed", "subscribed"):
            wish = bench.person(4, email_consent=consent)
            update = Operation(consent, Verb.UPDATE, bench.people, wish.values, id=made.id, match=wish.match)
            bench.push(connector, update)
            bench.clock.advance(600)
            [record] = bench.read(connector, bench.people, "id", made.id).values()
            told = bench.unified(record).get("email_consent")
            assert told not in (None, "subscribed"), f"after writing {consent} the person counts as {told}"


def creates_can_be_put_away(bench: Bench) -> None:
    """What was made can be put away again, so that an undo can take it back."""
    with bench.connected() as connector:
        made = bench.push(connector, bench.person(5))["op5"]
        _put_away(bench, connector, Verb.ARCHIVE, bench.people, made.id, "new5@people.example")


def people_can_be_erased(bench: Bench) -> None:
    """A person can be erased, by right."""
    objects = [name for name in bench.sampled if "erase" in bench.facts.objects[name].push]
    assert objects, "the manifest has no `erase` for people"
    with bench.connected() as connector:
        [(id, record)] = bench.read(connector, objects[0], "id", bench.ids[objects[0]][0]).items()
        mapped = bench.mapping[objects[0]]
        email = str(mapped.read(mapped.decode(record.raw))[0]["email"])
        _put_away(bench, connector, Verb.ERASE, objects[0], id, email)


def _put_away(bench: Bench, connector: Connector, verb: Verb, object: str, id: str, email: str) -> None:
    assert verb.value in bench.facts.objects[object].push, f"the manifest has no {verb.value} for {object}"
    match = {bench.mapping[object].entries["email"].remote: email}
    away = Operation("away", verb, object, {}, id=id, match=match)
    assert bench.push(connector, away)["away"].error is None
    bench.clock.advance(30 * 86_400 if verb is Verb.ERASE else 600)  # some take their legal month
    left = bench.read(connector, object, "id", id)
    assert all(record.gone is not None for record in left.values()), "the record is still there"
    assert bench.push(connector, away)["away"].error is None, "what is away already is done"


def briefs_are_taken(bench: Bench) -> None:
    """The hand-off brief is written once, and found again by its reference."""
    object = next(name for name, facts in bench.facts.objects.items() if facts.brief)
    with bench.connected() as connector:
        person = bench.push(connector, bench.person(6))["op6"]
        values = {
            "subject": "Qualified lead",
            "body": "The story.",
            "person": f"{bench.people}/{person.id}",
            "reference": "closedloop-brief-ld_1",
        }
        operation = Operation("b", Verb.CREATE, object, values, match={"reference": values["reference"]})
        made = bench.push(connector, operation)["b"]
        assert made.error is None, str(made.error)
        bench.clock.advance(600)
        [found] = bench.read(connector, object, "reference", values["reference"]).values()
        assert found.id == made.id


def forged_webhooks_are_refused(bench: Bench) -> None:
    """A delivery that does not prove where it comes from is refused."""
    if hook := bench.facts.webhook:
        for name, mode in bench.facts.auth.items():
            assert set(hook.secrets) <= set(mode.secrets), f"mode {name} cannot have what webhooks are believed by"
    request = Request("POST", "https://hooks.example/x", {"content-type": "application/json"}, b'[{"objectId": 1}]')
    with bench.connected() as connector:
        try:
            connector.verify(request)
        except ClosedloopError:
            return
        raise AssertionError("a forged delivery was believed")


def broken_answers_are_told(bench: Bench) -> None:
    """Answers cut off, of a proxy, or of a server that fails are our errors, whatever was asked."""
    object = bench.sampled[0]
    for kind in ("truncated", "html", "no_answer"):
        bench.sandbox.inject(kind, "", times=10_000)
        with bench.connected() as connector:
            for ask in (connector.check, lambda: bench.pulled(connector, object)):
                try:
                    ask()
                except ClosedloopError:
                    continue
                raise AssertionError(f"an answer that is {kind} was taken for good")
        bench.sandbox.faults.clear()


def sandbox_repeats_itself(bench: Bench) -> None:
    """The sandbox can be taken back to where it was."""
    kept = orjson.dumps(bench.sandbox.snapshot(), option=orjson.OPT_SORT_KEYS)
    bench.put(bench.sampled[0], NUMBER + 1)
    assert orjson.dumps(bench.sandbox.snapshot(), option=orjson.OPT_SORT_KEYS) != kept
    bench.sandbox.restore(orjson.loads(kept))
    assert orjson.dumps(bench.sandbox.snapshot(), option=orjson.OPT_SORT_KEYS) == kept


Rule = Callable[[Bench], None]

RULES: Mapping[str, Rule] = {
    "facts": manifest_is_whole,
    "light": import_is_light,
    "health": health_is_told,
    "secrets": wrong_secrets_are_told,
    "schema": schema_fits,
    "unknown": unknown_is_refused,
    "pull": pull_brings_everything,
    "resume": cursors_can_be_resumed,
    "incremental": changes_are_pulled,
    "deletes": deletes_are_pulled,
    "bulk": bulk_gives_the_same,
    "read": records_are_read,
    "push": writes_have_one_result_each,
    "upsert": repeated_creates_make_one,
    "lost_answers": lost_answers_are_found,
    "consent": consent_is_never_loosened,
    "archive": creates_can_be_put_away,
    "erase": people_can_be_erased,
    "brief": briefs_are_taken,
    "webhooks": forged_webhooks_are_refused,
    "faults": broken_answers_are_told,
    "sandbox": sandbox_repeats_itself,
}
"""The quality scale: every rule is kept, or exempt with a reason."""


def kept(facts: manifest.Manifest) -> list[str]:
    """The rules that a platform says it keeps: those it is not exempt from."""
    return [name for name in RULES if name not in facts.exemptions]


def promise(rule: str) -> str:
    """What a rule says, in one sentence."""
    return (RULES[rule].__doc__ or "").split("\n")[0]


@contextmanager
def bench(platform: Platform) -> Iterator[Bench]:
    """The platform's sandbox, started and filled."""
    clock = ManualClock(START)
    with platform.sandbox(seed=11, clock=clock) as sandbox:
        made = Bench(platform, sandbox, clock)
        made.fill()
        clock.advance(3600)
        yield made
