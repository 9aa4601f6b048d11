"""The planted bugs: one line each, the kind a tired colleague writes. Every one of them must turn the suite red."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` stands exactly once in `file` and becomes `new`; `tests` are the smallest set
    that sees it: each bug has its own, so that all of them take a few minutes."""

    name: str
    file: str
    old: str
    new: str
    tests: str


BUGS = (
    # what is read
    Bug(
        "a lagging index overwrites what is newer",
        "sync/absorb.py",
        "if record.version and record.version < before.version:",
        "if False:",
        tests="tests/state/test_absorb.py::test_an_older_state_told_late_is_not_news",
    ),
    Bug(
        "a field left out of an answer counts as blank",
        "sync/absorb.py",
        "body = {**old, **values}",
        "body = {**dict.fromkeys(old), **values}",
        tests="tests/state/test_absorb.py::test_absent_says_nothing_and_blank_clears",
    ),
    Bug(
        "what a deleted record said is forgotten",
        "sync/absorb.py",
        "body = {**old, **self._last_words(record)}",
        "body = {}",
        tests="tests/state/test_absorb.py::test_gone_keeps_the_body_and_coming_back_clears_it",
    ),
    Bug(
        "the baseline of an edit is not dated",
        "sync/core/echo.py",
        '        changed[name] = later(since, max(changed.get(name, ""), agreed.get(name, "")))\n',
        "",
        tests="tests/state/test_absorb.py::test_a_change_is_told_by_field_with_its_time",
    ),
    Bug(
        "what the platform rewrote is taken for an edit",
        "sync/core/echo.py",
        "if name in held and is_rewrite(held[name], value):",
        "if False:",
        tests="tests/engine/test_writes.py::test_a_rewrite_seen_only_in_the_echo_is_no_edit",
    ),
    Bug(
        "a cursor is saved though its page is not",
        "sync/absorb.py",
        "arrived, mapped, run=run, at=at, forgotten=forgotten, keep_gone=keep_gone)\n    save_cursor",
        "arrived[1:], mapped, run=run, at=at, forgotten=forgotten, keep_gone=keep_gone)\n    save_cursor",
        tests="tests/engine/test_conflicts.py::test_two_values_wait_for_a_person_and_the_answer_is_written",
    ),
    Bug(
        "an activity is stored twice",
        "sync/absorb.py",
        "fresh = [record for id, record in by_id.items() if id not in known and record.gone is None]",
        "fresh = [record for id, record in by_id.items() if record.gone is None]",
        tests="tests/state/test_absorb.py::test_activities_are_written_once",
    ),
    Bug(
        "a moved meeting keeps its old time",
        "sync/retold.py",
        'rows.update(tx, activities, stream, "key", COLUMNS[1:], changed, also="dirty = true")',
        "pass",
        "tests/state/test_absorb.py",
    ),
    Bug(
        "a bad row is dropped without a word",
        "sync/absorb.py",
        "self.complaints.judge(name, [ValueProblem(field, code, reason, fix)])",
        "pass",
        tests="tests/state/test_absorb.py::test_an_unreadable_record_never_replaces_what_is_known",
    ),
    Bug(
        "somebody forgotten is taken in again",
        "sync/absorb.py",
        "if self.forgotten is not None and self.forgotten.has_person(values):",
        "if False:",
        tests="tests/engine/test_forget.py::test_the_person_is_not_taken_in_again",
    ),
    # who is who
    Bug(
        "a changed address breaks the link",
        "sync/core/resolve.py",
        "    if linked:\n        return Match(lead=linked)\n",
        "",
        tests="tests/core/test_resolve.py",
    ),
    Bug(
        "an ambiguous match is guessed",
        "sync/core/resolve.py",
        "    return Match(rivals=tuple(claims.items()))",
        "    return Match(lead=next(iter(claims)))",
        tests="tests/core/test_resolve.py",
    ),
    Bug(
        "an address is taken away from its owner",
        "sync/resolve.py",
        "            owner = self._owners.setdefault(key, lead)\n",
        "            owner = self._owners[key] = lead\n",
        tests="tests/engine/test_conflicts.py::test_the_record_is_somebody_else",
    ),
    Bug(
        "a merge on a platform is not followed",
        "sync/resolve.py",
        "if row.gone in (Gone.MERGED, Gone.CONVERTED) and row.into:",
        "if row.gone in (Gone.CONVERTED,) and row.into:",
        tests="tests/engine/test_identity.py::test_a_merge_on_a_platform_makes_one_lead_of_two",
    ),
    Bug(
        "two accounts' ids are taken for one",
        "sync/core/resolve.py",
        'if name.removesuffix("_id") not in vague]',
        "]",
        tests="tests/core/test_resolve.py",
    ),
    # whose value survives
    Bug(
        "a deleted record goes on speaking",
        "sync/core/merge.py",
        "if record.gone and field.rule not in _LASTING:",
        "if False:",
        tests="tests/core/test_merge.py",
    ),
    Bug(
        "a blank overwrites a value",
        "sync/core/merge.py",
        'return policy == "known" or (policy == "clear" and name in record.changed)',
        "return True",
        tests="tests/core/test_merge.py",
    ),
    Bug(
        "the oldest value wins",
        "sync/core/merge.py",
        "return max(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))",
        "return min(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))",
        tests="tests/core/test_merge.py",
    ),
    Bug(
        "the order of arrival decides a tie",
        "sync/core/merge.py",
        "return max(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))",
        "return max(voices, key=lambda voice: voice.at)",
        tests="tests/core/test_merge.py",
    ),
    Bug(
        "consent is decided by the latest word",
        "sync/core/merge.py",
        "best = max(rank.get(voice.value, -1) for voice in voices)",
        "best = rank.get(_latest(voices, incumbent).value, -1)",
        tests="tests/core/test_merge.py",
    ),
    # what is written
    Bug(
        "consent is loosened on the target",
        "sync/core/plan.py",
        "known.options.index(want) > known.options.index(have)",
        "known.options.index(want) != known.options.index(have)",
        tests="tests/core/test_plan.py",
    ),
    Bug(
        "what was deleted is made again",
        "sync/core/plan.py",
        "        elif not here and not fate:\n",
        "        elif not fate:\n",
        tests="tests/core/test_plan.py",
    ),
    Bug(
        "what a person took back is written again",
        "sync/core/plan.py",
        "return pinned is not None and pinned == (fingerprint(wish), fingerprint(holds))",
        "return False",
        tests="tests/core/test_plan.py",
    ),
    Bug(
        "what a person is still to decide is written",
        "sync/core/plan.py",
        "undecided = {name for name, why in lead.reasons.items() if why.rule == UNDECIDED}",
        "undecided = set[str]()",
        tests="tests/core/test_plan.py",
    ),
    Bug(
        "the value sent is trusted, not the one returned",
        "sync/settle.py",
        "body[name] = got.get(name, sent)",
        "body[name] = sent",
        tests="tests/engine/test_writes.py::test_what_the_platform_rewrites_is_not_fought_over",
    ),
    Bug(
        "a value refused is sent for ever",
        "sync/core/plan.py",
        "        if refused(target.connection, target.object, record.id, lead.id, name, fingerprint(back.get(name))):\n            continue\n",
        "",
        tests="tests/core/test_plan.py",
    ),
    # what a crash leaves
    Bug(
        "a create in doubt is sent again at once",
        "sync/push.py",
        "return (workspace.clock.now() - unstamp(row.created_at)).total_seconds() < DOUBT",
        "return False",
        tests="tests/simulation/test_simulation.py",
    ),
    Bug(
        "a write in doubt is not looked up",
        "sync/push.py",
        "        found = workspace.connector(connection).read(object, key, sorted(wanted), fields)\n",
        "        found = {}\n",
        tests="tests/engine/test_undo.py::test_a_lost_answer_of_an_undo_is_no_persons_edit",
    ),
    Bug(
        "a result in doubt counts as done",
        "sync/settle.py",
        "        return Settled.PARKED\n    return Settled.QUARANTINED",
        "        return Settled.APPLIED\n    return Settled.QUARANTINED",
        tests="tests/engine/test_forget.py::test_a_lost_answer_is_looked_up",
    ),
    Bug(
        "a write in doubt is planned again meanwhile",
        "sync/planning.py",
        'return any((operation.object, record, operation.lead) in unsure for record in (operation.record, ""))',
        "return False",
        tests="tests/engine/test_writes.py::test_a_lost_answer_is_looked_up_and_not_sent_again",
    ),
    Bug(
        "an operation is not in the journal before it leaves",
        "sync/push.py",
        "        tx.execute(_INTEND, [_journal_row(run, operation, at, seen) for operation in leaving])\n",
        "        pass\n",
        tests="tests/engine/test_conflicts.py::test_a_hand_off_goes_with_its_record",
    ),
    Bug(
        "the fencing token is not compared",
        "sync/state/leases.py",
        '(leases.c.name == bindparam("of")) & (leases.c.token == bindparam("held"))',
        '(leases.c.name == bindparam("of")) & (leases.c.token >= 0 * bindparam("held"))',
        tests="tests/state/test_leases.py::test_after_the_expiry_it_is_taken_and_the_old_holder_commits_nothing",
    ),
    Bug(
        "a living holder's lease is taken",
        "sync/state/leases.py",
        "if row.alive and not _may_follow(row.holder, run):",
        "if False:",
        tests="tests/state/test_leases.py::test_another_run_waits_until_release",
    ),
    # what protects
    Bug(
        "the guards let everything through",
        "config/project.py",
        "return number > self.allowed(total)",
        "return False",
        tests="tests/engine/test_guards.py::test_when_a_limit_breaks",
    ),
    Bug(
        "an undo overwrites what people changed since",
        "sync/undo.py",
        "return bool(holds == wrote or (held is not None and held[0] == wrote and held[1] in (None, holds)))",
        "return True",
        tests="tests/engine/test_undo.py",
    ),
    Bug(
        "a stale plan is applied",
        "sync/planfile.py",
        "return any(values.get(change.field) != change.old for change in op.changes)",
        "return False",
        tests="tests/engine/test_plan.py::test_a_saved_plan_is_applied_exactly_and_stale_records_are_left",
    ),
    Bug(
        "a field that the account lost is written as blank",
        "sync/workspace.py",
        "mapped.without(gone) if gone else mapped",
        "mapped",
        "tests/engine/test_guards.py::test_a_vanished_field_is_frozen_and_the_rest_goes_on",
    ),
    # deals that are shown elsewhere
    Bug(
        "a copy counts as a second deal",
        "sync/load.py",
        "records.c.gone.is_(None), ~_IS_COPY)",
        "records.c.gone.is_(None))",
        tests="tests/engine/test_copies.py::test_a_deal_is_copied_with_its_person_and_counts_once",
    ),
    Bug(
        "a copy is not known by the name it bears",
        "sync/resolve.py",
        "        recognise(tx, [deal for deal in deals if (deal[2], deal[3]) in bearing], at)\n",
        "",
        tests="tests/engine/test_copies.py::test_a_copy_made_in_a_run_that_died_is_known_by_the_name_it_bears",
    ),
    Bug(
        "a copy that somebody deleted is made again",
        "sync/core/copies.py",
        "    if copy is not None:\n        if not copy.gone and target.can_update:",
        "    if copy is not None and not copy.gone:\n        if target.can_update:",
        tests="tests/core/test_copies.py",
    ),
    Bug(
        "a deal of two people is copied for each",
        "sync/deals.py",
        "if whose == lead.id else Outcome()",
        "if whose else Outcome()",
        tests="tests/engine/test_copies.py::test_a_deal_of_two_people_has_one_copy",
    ),
    # what a person decided, and what nobody may do
    Bug(
        "our own putting away is taken for a person's",
        "sync/deletes.py",
        "if (view.connection, view.object, view.id) not in ours[lead]]",
        "]",
        tests="tests/engine/test_deletes.py::test_our_own_putting_away_means_nothing_elsewhere",
    ),
    Bug(
        "who lives on as another record counts as deleted",
        "sync/deletes.py",
        "living = {view.connection for view in views if not view.gone}",
        "living = set[str]()",
        tests="tests/engine/test_deletes.py::test_who_lives_there_as_another_record_is_not_deleted",
    ),
    Bug(
        "who was deleted is made anew elsewhere",
        "sync/core/plan.py",
        "        elif not here and not fate:\n",
        "        elif not here:\n",
        tests="tests/core/test_plan.py",
    ),
    Bug(
        "two platforms are fought with for ever",
        "sync/flapping.py",
        "if times >= limit and",
        "if times < 0 and",
        tests="tests/engine/test_flapping.py::test_a_fight_ends_and_is_told_with_both_values",
    ),
    Bug(
        "an opt-out that is fought over is given up",
        "sync/flapping.py",
        " and not (known and known.rule is Rule.MOST_RESTRICTIVE)",
        "",
        tests="tests/engine/test_flapping.py::test_an_opt_out_is_written_as_often_as_it_takes",
    ),
    Bug(
        "duplicates that were dismissed come back",
        "sync/duplicates.py",
        " if (pair.one, pair.other) not in apart]",
        "]",
        tests="tests/engine/test_duplicates.py::test_dismissed_they_are_not_listed_again_whatever_they_become",
    ),
    Bug(
        "an amount of another currency is written as it is",
        "mappings/transforms.py",
        'if money["currency"] != currency:',
        "if False:",
        tests="tests/mappings/test_transforms.py::test_an_amount_of_another_currency_is_not_written",
    ),
    # webhooks
    Bug(
        "a hint that is told again while it is followed is dropped",
        "sync/hints.py",
        'hints.c.told == bindparam("times"),',
        'hints.c.told <= bindparam("times") + 1,',
        tests="tests/engine/test_hints.py::test_what_is_told_while_it_is_read_is_read_again",
    ),
    Bug(
        "what a webhook brought is written over what nobody looked at",
        "sync/hints.py",
        'Notice(one.object, one.record) if one.record else Notice("", "")',
        'Notice("", "")',
        tests="tests/engine/test_hints.py::test_the_other_side_is_read_before_it_is_written",
    ),
    Bug(
        "LinkedIn: whatever is asked is signed",
        "connectors/linkedin/webhook.py",
        "not CODE.fullmatch(code)",
        "not code",
        tests="tests/connectors/linkedin/test_linkedin.py::test_nothing_that_a_delivery_could_be_signed_with_is_signed_for_a_challenge",
    ),
    # the connectors
    Bug(
        "HubSpot: no overlap",
        "connectors/hubspot/connector.py",
        "OVERLAP = timedelta(seconds=300)",
        "OVERLAP = timedelta(0)",
        tests="tests/connectors/hubspot/test_hubspot.py::test_a_later_pull_brings_only_what_changed_with_overlap tests/connectors/hubspot/test_hubspot.py::test_a_row_that_the_index_shows_late_is_not_missed",
    ),
    Bug(
        "HubSpot: a row missing from the answer is a success",
        "connectors/hubspot/writes.py",
        "        yield from _missing(client, list(waiting.values()))\n",
        "        yield from (Result(operation.key, operation.id) for operation in waiting.values())\n",
        tests="tests/connectors/hubspot/test_hubspot.py::test_a_row_missing_from_the_answer_is_never_taken_for_done",
    ),
    Bug(
        "HubSpot: any signature will do",
        "connectors/hubspot/webhook.py",
        'return hmac.compare_digest(digest, headers.get("x-hubspot-signature-v3", "").encode()) and abs(age) <= WINDOW',
        "return abs(age) <= WINDOW",
        tests="tests/connectors/hubspot/test_hubspot.py::test_a_webhook_is_believed_only_with_its_signature",
    ),
    Bug(
        "Mailchimp: no overlap",
        "connectors/mailchimp/connector.py",
        "OVERLAP = timedelta(seconds=300)",
        "OVERLAP = timedelta(0)",
        tests="tests/connectors/mailchimp/test_mailchimp.py::test_a_change_that_is_shown_late_is_not_missed",
    ),
    Bug(
        "Salesforce: no overlap",
        "connectors/salesforce/connector.py",
        "OVERLAP = 300",
        "OVERLAP = 0",
        tests="tests/connectors/salesforce/test_pull.py::test_rows_that_commit_late_are_found_by_the_overlap",
    ),
    Bug(
        "Outreach: any signature will do",
        "connectors/outreach/connector.py",
        'not hmac.compare_digest(digest.encode(), headers.get("outreach-webhook-signature", "").encode())',
        "False",
        tests="tests/connectors/outreach/test_outreach.py::test_webhooks_are_believed_by_their_signature_only",
    ),
    # a state that was restored
    Bug(
        "a restored state is not recognised",
        "sync/epoch.py",
        "if mark is None or (mark.id == known.id and mark.epoch <= known.epoch):",
        "if mark is None or mark.id == known.id:",
        tests="tests/engine/test_restored.py::test_a_restored_state_writes_nothing_and_says_what_to_do",
    ),
    Bug(
        "the epoch is raised after the first write",
        "sync/steps/push.py",
        "    if chunk:\n        _raise_epoch(attempt)\n",
        "",
        tests="tests/engine/test_restored.py::test_a_quiet_sync_leaves_the_epoch_alone_and_one_that_writes_raises_it_once",
    ),
    Bug(
        "a restored state takes no notice of whom it never knew to be deleted",
        "sync/absorb.py",
        "if record.gone is not None and not record.into and not self.keep_gone:",
        "if record.gone is not None and not record.into:",
        tests="tests/engine/test_restored.py::test_whoever_was_deleted_after_the_backup_stays_deleted",
    ),
    Bug(
        "a restored state decides by what it knew",
        "sync/restored.py",
        "contest(tx, _disputed(",
        "list(_disputed(",
        tests="tests/engine/test_restored.py::test_a_difference_is_asked_and_then_the_rule_holds_again",
    ),
    Bug(
        "a restored state makes whoever is missing",
        "sync/withheld.py",
        "held = {place for place, let in told.items() if not let}",
        "held: set[Place] = set()",
        tests="tests/engine/test_restored.py::test_whoever_is_missing_is_made_only_when_a_person_says_so",
    ),
    Bug(
        "a late create passes for an edit",
        "sync/doubt.py",
        "if at and same and name in body and dated.get(name, first_at) > at:",
        "if False:",
        tests="tests/simulation/test_simulation.py::test_what_failed_once_holds",
    ),
    Bug(
        "Google Analytics: any text goes out as a client id",
        "connectors/google_analytics/sessions.py",
        "good = sorted({id for id in told if re.fullmatch(CLIENT_ID, id, re.ASCII)})",
        "good = sorted(set(told))",
        tests="tests/connectors/google_analytics/test_sessions.py::test_only_ids_of_googles_own_form_go_out",
    ),
    Bug(
        "LinkedIn: a formula goes into a file as it is",
        "connectors/linkedin/csv_cells.py",
        """return f"'{text}" if _FORMULA.match(text) else text""",
        "return text",
        tests="tests/connectors/linkedin/test_csv_files.py::test_every_cell_stands_in_quotes",
    ),
    Bug(
        "LinkedIn: a bad row of a file is dropped without a word",
        "connectors/linkedin/csv_import.py",
        "odd.append(Odd(line, record))",
        "continue",
        tests="tests/connectors/linkedin/test_csv_files.py::"
        "test_rows_that_are_no_records_are_told_by_their_lines_and_touch_no_other",
    ),
    Bug(
        "Singer: a record against its schema is taken all the same",
        "connectors/singer/records.py",
        "if odd is not None:",
        "if False:",
        tests="tests/connectors/singer/test_singer.py::test_a_record_of_the_wrong_type_says_where_and_why",
    ),
)
