"""Planted bugs of two leads that become one: worlds of `joining.py` show nearly each."""

from __future__ import annotations

from tests.planted.bug import Bug

_WORLDS = "tests/simulation/test_joining.py"
_UNITED = "tests/engine/test_united.py"

JOINED = (
    Bug(
        "the records of who became another stay theirs",
        "sync/unite.py",
        "for table in (records, identities, journal, conversions):",
        "for table in (identities, journal, conversions):",
        tests=_WORLDS,
    ),
    Bug(
        "the addresses of who became another lead to nobody",
        "sync/unite.py",
        "for table in (records, identities, journal, conversions):",
        "for table in (records, journal, conversions):",
        tests=_WORLDS,
    ),
    Bug(
        "a write in flight is one for who became another since",
        "sync/unite.py",
        "for table in (records, identities, journal, conversions):",
        "for table in (records, identities, conversions):",
        tests=_WORLDS,
    ),
    Bug(
        "who became another is merged and planned for ever",
        "sync/unite.py",
        'values(state="merged", into=keep, dirty=0, updated_at=at)',
        "values(into=keep, updated_at=at)",
        tests=_WORLDS,
    ),
    Bug(
        "what quarantine tells of who became another waits for them",
        "sync/unite.py",
        "    pass_on(tx, keep, lose, at)\n",
        "",
        tests=_WORLDS,
    ),
    Bug(
        "a record goes to the lead that another was until just now",
        "sync/resolve.py",
        "self._moved.get(row.lead, row.lead))",
        "row.lead)",
        tests=_WORLDS,
    ),
    Bug(
        "what was linked just now stays with who became another",
        "sync/resolve.py",
        '                link["l"] = keep\n',
        '                link["l"] = lose\n',
        tests=_WORLDS,
    ),
    Bug(
        "who lives on as a record that nobody has seen yet is somebody else",
        "sync/resolve.py",
        "        self._owners[key] = self._new_keys[key] = lead\n        self._ask",
        "        self._ask",
        tests=_WORLDS,
    ),
    Bug(
        "a merge makes two leads one only where both records are new",
        "sync/resolve.py",
        "            if survivor != lead:\n                self._unite(lead, survivor)\n            return",
        "            return",
        tests=_WORLDS,
    ),
    Bug(
        "every lead converted into a contact made it",
        "sync/core/views.py",
        "return bool(makers) and old.name == min(makers, key=rank).name",
        "return any(old is one for one in makers)",
        tests="tests/core/test_views.py",
    ),
    Bug(
        "an address that a create in doubt meant is its own at another's record",
        "sync/doubt.py",
        "if not (name in keys and name in changed)}",
        "}",
        tests="tests/engine/test_doubt.py",
    ),
    Bug(
        "what a person decided of who became another is forgotten",
        "sync/unite.py",
        "    _inherit_answers(tx, keep, lose)\n",
        "",
        tests=_UNITED,
    ),
    Bug(
        "an answer for now of the one goes before one for good of the other",
        "sync/unite.py",
        'if mine is None or (told["always"] and not mine["always"]):',
        "if mine is None:",
        tests=_UNITED,
    ),
    Bug(
        "of two answers for good of who are one by now one is taken back without a word",
        "sync/unite.py",
        'if mine["always"] and told["always"]:',
        "if False:",
        tests=_UNITED,
    ),
    Bug(
        "of two answers that say the same only the one's records were heard",
        "sync/unite.py",
        '"heard": [*mine["heard"], *told["heard"]]}',
        '"heard": mine["heard"]}',
        tests=_UNITED,
    ),
    Bug(
        "a value taken out of what an update in doubt wrote went by its platform's clock",
        "sync/adopt.py",
        "{name for name in blank & body.keys() if before.get(name) not in (None, [])}",
        "set()",
        tests="tests/engine/test_doubt.py",
    ),
    Bug(
        "what a platform had made of a value of ours is a person's where a conversion carried it",
        "sync/core/views.py",
        "held = {**_made_of_ours(old, heir, since), **heir.held}",
        "held = heir.held",
        tests="tests/core/test_views.py",
    ),
    Bug(
        "what a platform had made of a value of ours is known of whatever its heir says",
        "sync/core/views.py",
        "if heir.body.get(name) == old.body.get(name) == old.held[name][1]",
        "if name in heir.body",
        tests="tests/core/test_views.py",
    ),
    Bug(
        "what only a record that is gone had said of who became another is forgotten",
        "sync/unite.py",
        "    body.update({name: theirs[name] for name in new if name in theirs})\n",
        "",
        tests=_UNITED,
    ),
)
