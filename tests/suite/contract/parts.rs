//! Taking back a part: one table, one row, one transaction; and what undo, redo and the other strategy make of that.

use ebbtide::eventsourcing::history::Standing;
use ebbtide::eventsourcing::rollback::{
    self, Conflicts, Control, Purpose, RollbackOutcome, RollbackRequest, RollbackTarget, Strategy,
};
use ebbtide::eventsourcing::scope::Scope;
use ebbtide::eventsourcing::{ErrorCode, EventId, Result};
use serde_json::json;
use uuid::Uuid;

use super::schema;
use crate::support::{Database, create, delete, id, on_each, update};

fn only(name: &str, target: RollbackTarget) -> RollbackRequest {
    RollbackRequest {
        scope: Scope::parse(name),
        ..RollbackRequest::to(target)
    }
}

fn without(event: EventId, conflicts: Option<Conflicts>) -> RollbackRequest {
    RollbackRequest {
        conflicts,
        ..RollbackRequest::to(RollbackTarget::Without(event))
    }
}

impl Database {
    async fn take(&self, request: RollbackRequest) -> Result<RollbackOutcome> {
        let plan = rollback::plan(&*self.store, request).await?;
        let confirmed = plan.confirm(false)?;
        let done = rollback::execute(&*self.store, &confirmed, &Control::default()).await?;
        self.assert_no_drift().await;
        Ok(done)
    }

    /// The names of the samples, and the samples of the spectra.
    async fn names(&self) -> Vec<String> {
        let rows = self.rows().await.into_iter();
        rows.map(|(table, row)| match table.as_str() {
            "sample" => format!("{} {}", row["name"], row["mass"]),
            _ => table,
        })
        .collect()
    }
}

/// Two samples and a spectrum; then both are renamed, one gets a mass, and there is a second spectrum.
async fn lab(backend: ebbtide::eventsourcing::store::Backend) -> Database {
    let lab = Database::with(backend, &schema(backend)).await;
    lab.append(vec![
        create("sample", id(1), json!({"name": "a"})),
        create("sample", id(2), json!({"name": "b"})),
    ])
    .await;
    lab.append(vec![create(
        "spectrum",
        id(11),
        json!({"sample_id": id(1)}),
    )])
    .await;
    lab.append(vec![
        update("sample", id(1), json!({"name": "a2"})),
        update("sample", id(2), json!({"name": "b2"})),
    ])
    .await;
    lab.append(vec![update("sample", id(1), json!({"mass": 3}))])
        .await;
    lab.append(vec![create(
        "spectrum",
        id(12),
        json!({"sample_id": id(2)}),
    )])
    .await;
    lab
}

on_each! {
    async fn a_table_is_taken_back_and_the_others_stay(backend) {
        let lab = lab(backend).await;
        let before = lab.rows().await;
        let plan = rollback::plan(&*lab.store, only("sample", RollbackTarget::AfterEvent(3))).await.unwrap();
        assert_eq!((plan.events_undone, plan.changes.len()), (3, 2));
        assert!(plan.sentences("lab")[0].contains("the table sample of lab"), "{:?}", plan.sentences("lab"));
        let done = lab.take(only("sample", RollbackTarget::AfterEvent(3))).await.unwrap();
        assert_eq!(lab.names().await, ["\"a\" 7", "\"b\" 7", "spectrum", "spectrum"]);
        let head = lab.store.head().await.unwrap();
        let history = lab.store.history(head).await.unwrap();
        let mut standings = Vec::new();
        for event in &lab.log().await[3..7] {
            standings.push(history.standing(head, event.id, event.row.as_ref()));
        }
        let by = Standing::UndoneBy(done.rollback.unwrap());
        assert_eq!(standings, [by, by, by, Standing::Effective]);
        // Undoing it takes back what happened to the table since, and nothing else.
        lab.append(vec![create("spectrum", id(13), json!({"sample_id": id(2)}))]).await;
        lab.append(vec![update("sample", id(2), json!({"mass": 9}))]).await;
        let plan = rollback::plan_undo(&*lab.store, None, false).await.unwrap();
        assert_eq!(plan.later_events, 1);
        let said = plan.sentences("lab").remove(0);
        assert!(said.contains(&format!("too: #13 update sample {}", id(2))) && !said.contains("spectrum"), "{said}");
        assert_eq!(plan.confirm(false).expect_err("later work").code, ErrorCode::LaterWork);
        lab.undo(true).await.unwrap();
        let mut after = lab.rows().await;
        assert_eq!(after.len(), before.len() + 1, "the third spectrum stays");
        after.retain(|(_, row)| before.iter().any(|(_, old)| old == row));
        assert_eq!(after, before);
        // What was later than the rollback came with it, and comes back with it.
        lab.redo(false).await.unwrap();
        assert_eq!(lab.names().await, ["\"a\" 7", "\"b\" 9", "spectrum", "spectrum", "spectrum"]);
        lab.assert_no_drift().await;
    }

    async fn rollbacks_that_would_not_be_in_effect_any_more_are_named(backend) {
        let lab = lab(backend).await;
        let named = async |target, scope: &str| {
            let request = match scope {
                "" => RollbackRequest::to(target),
                scope => only(scope, target),
            };
            rollback::plan(&*lab.store, request).await.unwrap().warnings().join(" ")
        };
        let revert = lab.take(without(4, None)).await.unwrap().rollback.unwrap();
        let row = format!("sample/{}", id(1));
        let part = lab.take(only(&row, RollbackTarget::AfterEvent(3))).await.unwrap().rollback.unwrap();
        // All of it: both go.
        let said = named(RollbackTarget::AfterEvent(2), "").await;
        for words in ["2 rollbacks, undos and redos in effect now would be taken back too", &format!("#{revert} revert of #4"), &format!("#{part} rollback of the row")] {
            assert!(said.contains(words), "{words}: {said}");
        }
        // The row alone: its own; the other one is of other rows too, and stays.
        let said = named(RollbackTarget::AfterEvent(2), &row).await;
        assert!(said.starts_with(&format!("1 rollback, undo or redo in effect now would be taken back too: #{part}")), "{said}");
        assert_eq!(named(RollbackTarget::AfterEvent(part - 1), "spectrum").await, "");
        // One that is undone by itself is not told of once more, and what came before it stays.
        let undo = rollback::plan_undo(&*lab.store, None, false).await.unwrap();
        assert_eq!(undo.warnings(), Vec::<String>::new());
        // What was redone is in effect by its redo, which goes with it and is not told of either.
        lab.undo(false).await.unwrap();
        lab.redo(false).await.unwrap();
        let undo = rollback::plan_undo(&*lab.store, None, false).await.unwrap();
        assert_eq!((undo.purpose, undo.warnings()), (Purpose::Undo(part), Vec::new()));
        // A redo goes back to before the undo, and takes what was done to its rows since.
        lab.undo(false).await.unwrap();
        let last = lab.append(vec![update("sample", id(1), json!({"mass": 8}))]).await[0].id;
        let again = lab.take(only(&row, RollbackTarget::BeforeEvent(last))).await.unwrap().rollback.unwrap();
        let redo = rollback::plan_redo(&*lab.store, None, false).await.unwrap();
        let said = redo.warnings().join(" ");
        assert!(said.contains(&format!("#{again} rollback of the row")), "{said}");
    }

    async fn a_row_is_taken_back_and_the_others_stay(backend) {
        let lab = lab(backend).await;
        lab.take(only(&format!("sample/{}", id(1)), RollbackTarget::AfterEvent(3))).await.unwrap();
        assert_eq!(lab.names().await, ["\"a\" 7", "\"b2\" 7", "spectrum", "spectrum"]);
        // The whole database, back to a moment since which only that row was taken back.
        lab.roll_back(RollbackTarget::AfterEvent(6), Strategy::Replay).await.unwrap();
        assert_eq!(lab.names().await, ["\"a2\" 3", "\"b2\" 7", "spectrum"]);
        lab.assert_no_drift().await;
        lab.undo(false).await.unwrap();
        assert_eq!(lab.names().await, ["\"a\" 7", "\"b2\" 7", "spectrum", "spectrum"]);
        lab.undo(false).await.unwrap();
        assert_eq!(lab.names().await, ["\"a2\" 3", "\"b2\" 7", "spectrum", "spectrum"]);
        lab.assert_no_drift().await;
    }

    async fn what_would_point_at_nothing_stands_in_the_way(backend) {
        let lab = lab(backend).await;
        let (log, rows) = (lab.log().await, lab.rows().await);
        let plan = rollback::plan(&*lab.store, only("sample", RollbackTarget::BeforeEvent(1))).await.unwrap();
        let kinds: Vec<_> = plan.blockers.iter().map(|blocker| (blocker.kind, blocker.row.table.as_str())).collect();
        assert_eq!(kinds, [("foreign-key", "spectrum")]);
        assert!(plan.blockers[0].message.contains("sample"), "{}", plan.blockers[0].message);
        assert_eq!(plan.confirm(true).expect_err("blocked").code, ErrorCode::Blocked);
        assert_eq!((lab.log().await, lab.rows().await), (log, rows));
    }

    async fn a_value_that_another_row_has_got_since_stands_in_the_way(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![update("sample", id(1), json!({"name": "b"}))]).await;
        lab.append(vec![create("sample", id(2), json!({"name": "a"}))]).await;
        for request in [only(&format!("sample/{}", id(1)), RollbackTarget::AfterEvent(1)), without(2, None)] {
            let plan = rollback::plan(&*lab.store, request).await.unwrap();
            let kinds: Vec<_> = plan.blockers.iter().map(|blocker| (blocker.kind, blocker.row.uuid)).collect();
            assert_eq!(kinds, [("unique", id(1))]);
            assert!(plan.blockers[0].message.contains(&id(2).to_string()), "{}", plan.blockers[0].message);
        }
    }

    async fn a_transaction_is_reverted_and_what_came_after_stays(backend) {
        let lab = lab(backend).await;
        let plan = rollback::plan(&*lab.store, without(5, None)).await.unwrap();
        assert_eq!((plan.events_undone, plan.changes.len(), &plan.blockers[..]), (2, 2, &[][..]));
        assert!(plan.sentences("lab")[0].contains("#4 to #5, one transaction"), "{:?}", plan.sentences("lab"));
        lab.take(without(5, None)).await.unwrap();
        assert_eq!(lab.names().await, ["\"a\" 3", "\"b\" 7", "spectrum", "spectrum"]);
        lab.append(vec![update("sample", id(1), json!({"mass": 4}))]).await;
        // Undo, redo and undo again keep what came after, too.
        lab.undo(false).await.unwrap();
        assert_eq!(lab.names().await, ["\"a2\" 4", "\"b2\" 7", "spectrum", "spectrum"]);
        lab.redo(false).await.unwrap();
        assert_eq!(lab.names().await, ["\"a\" 4", "\"b\" 7", "spectrum", "spectrum"]);
        lab.undo(false).await.unwrap();
        assert_eq!(lab.names().await, ["\"a2\" 4", "\"b2\" 7", "spectrum", "spectrum"]);
        lab.assert_no_drift().await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.take(without(4, None)).await.unwrap();
            let rows = lab.rows().await;
            let head = lab.store.head().await.unwrap();
            lab.append(vec![delete("spectrum", id(12))]).await;
            lab.roll_back(RollbackTarget::AfterEvent(head), strategy).await.unwrap();
            assert_eq!(lab.rows().await, rows, "back to after it, by {strategy}");
            lab.undo(false).await.unwrap();
            lab.undo(false).await.unwrap();
            lab.assert_no_drift().await;
            assert_eq!(lab.names().await, ["\"a2\" 4", "\"b2\" 7", "spectrum"]);
            lab.append(vec![create("spectrum", id(12), json!({"sample_id": id(2)}))]).await;
        }
    }

    async fn a_column_that_was_set_again_later_is_a_conflict(backend) {
        for (conflicts, name) in [(Conflicts::Ours, "a3"), (Conflicts::Theirs, "a")] {
            let lab = lab(backend).await;
            lab.append(vec![update("sample", id(1), json!({"name": "a3"}))]).await;
            let before = lab.rows().await;
            let plan = rollback::plan(&*lab.store, without(4, None)).await.unwrap();
            let told: Vec<_> = plan.blockers.iter().map(|blocker| (blocker.kind, blocker.row.uuid)).collect();
            assert_eq!(told, [("conflict", id(1))]);
            for part in ["\"a3\"", "\"a\"", "ours keeps", "theirs takes", "#8"] {
                assert!(plan.blockers[0].message.contains(part), "{}", plan.blockers[0].message);
            }
            assert_eq!(plan.confirm(true).expect_err("a conflict").code, ErrorCode::Blocked);
            // What has been chosen is said, with the value that it is about; that a later one goes is a warning.
            let plan = rollback::plan(&*lab.store, without(4, Some(conflicts))).await.unwrap();
            let (said, warned) = (plan.sentences("lab").join(" "), plan.warnings().join(" "));
            let value = format!("name of sample {} by #8.", id(1));
            let (words, keeps_all) = match conflicts {
                Conflicts::Ours => ("1 value would stay as later events have set them", true),
                Conflicts::Theirs => ("1 value that later events have set would be taken back too", false),
            };
            assert!(said.contains(words) && said.contains(&value), "{said}");
            assert_eq!(said.contains("and keep what came after."), keeps_all, "{said}");
            assert_eq!(warned.contains(&value), !keeps_all, "{warned}");
            lab.take(without(4, Some(conflicts))).await.unwrap();
            assert_eq!(lab.names().await[..2], [format!("\"{name}\" 3"), "\"b\" 7".to_owned()]);
            // What it left out does not count for any later rollback either.
            let (kept, after) = (lab.store.head().await.unwrap(), lab.rows().await);
            lab.append(vec![update("sample", id(1), json!({"name": "a4", "mass": 1}))]).await;
            for strategy in [Strategy::Minimal, Strategy::Replay] {
                lab.roll_back(RollbackTarget::AfterEvent(kept), strategy).await.unwrap();
                assert_eq!(lab.rows().await, after, "{conflicts:?} by {strategy}");
                lab.undo(false).await.unwrap();
                lab.assert_no_drift().await;
                lab.append(vec![update("sample", id(1), json!({"mass": 2}))]).await;
            }
            let done = lab.undo(true).await.map(drop);
            assert!(done.is_ok(), "{done:?}");
            assert_eq!(lab.names().await[..2], ["\"a4\" 2", "\"b2\" 7"], "{conflicts:?}");
            assert_ne!(lab.rows().await, before);
            lab.assert_no_drift().await;
        }
    }

    async fn other_keys_of_a_json_column_and_what_did_not_change_are_no_conflict(backend) {
        let lab = lab(backend).await;
        let info = async || lab.row("sample", id(1)).await.unwrap()["info"].clone();
        lab.append(vec![update("sample", id(1), json!({"info": {"x": 1}}))]).await;
        let first = lab.append(vec![update("sample", id(1), json!({"info": {"purity": 1}}))]).await[0].id;
        let second = lab.append(vec![update("sample", id(1), json!({"info": {"batch": 7}}))]).await[0].id;
        let third = lab.append(vec![update("sample", id(1), json!({"info": {"batch": 8, "x": 2}}))]).await[0].id;
        lab.take(without(first, None)).await.unwrap();
        assert_eq!(info().await, json!({"x": 2, "batch": 8}));
        lab.undo(false).await.unwrap();
        // The same key again: what would come of it is told.
        let plan = rollback::plan(&*lab.store, without(second, None)).await.unwrap();
        let message = &plan.blockers[0].message;
        for part in ["conflict", "ours keeps it", &format!("#{third}")] {
            assert!(message.contains(part) || plan.blockers[0].kind == part, "{message}");
        }
        // It says what holds already, so that there is nothing of it to take back.
        let idle = lab.append(vec![update("sample", id(1), json!({"info": {"x": 2}}))]).await[0].id;
        lab.append(vec![update("sample", id(1), json!({"info": {"x": 3}}))]).await;
        lab.take(without(idle, None)).await.unwrap();
        assert_eq!(info().await, json!({"x": 3, "purity": 1, "batch": 8}));
        lab.assert_no_drift().await;
    }

    async fn a_revert_with_conflicts_can_be_undone_and_redone(backend) {
        for (conflicts, name) in [(Conflicts::Ours, "a3"), (Conflicts::Theirs, "a")] {
            let lab = lab(backend).await;
            lab.append(vec![update("sample", id(1), json!({"name": "a3"}))]).await;
            lab.take(without(4, Some(conflicts))).await.unwrap();
            let after = lab.rows().await;
            lab.undo(false).await.unwrap();
            let plan = rollback::plan_redo(&*lab.store, None, false).await.unwrap();
            let confirmed = plan.confirm(false).unwrap();
            rollback::execute(&*lab.store, &confirmed, &Control::default()).await.unwrap();
            assert_eq!((lab.rows().await, lab.row("sample", id(1)).await.unwrap()["name"].clone()), (after, json!(name)));
            lab.assert_no_drift().await;
        }
    }

    async fn what_later_events_need_cannot_be_reverted(backend) {
        let lab = lab(backend).await;
        let plan = rollback::plan(&*lab.store, without(1, None)).await.unwrap();
        let later = plan.blockers.iter().find(|blocker| blocker.kind == "later-event").unwrap();
        assert!(later.message.contains("#4") || later.message.contains("#5"), "{}", later.message);
        // A row that was deleted, and made anew.
        lab.append(vec![delete("spectrum", id(12))]).await;
        lab.append(vec![create("spectrum", id(12), json!({"sample_id": id(1)}))]).await;
        let plan = rollback::plan(&*lab.store, without(8, None)).await.unwrap();
        assert_eq!(plan.blockers.iter().map(|blocker| blocker.kind).collect::<Vec<_>>(), ["later-event"]);
        assert!(plan.blockers[0].message.contains("#9"), "{}", plan.blockers[0].message);
    }

    async fn what_cannot_be_reverted_or_names_nothing_is_told(backend) {
        let lab = lab(backend).await;
        let whole = lab.rows().await;
        let done = lab.take(only("spectrum", RollbackTarget::AfterEvent(6))).await.unwrap();
        let marker = done.rollback.unwrap();
        let refused = async |request| {
            let planned = rollback::plan(&*lab.store, request).await;
            planned.map(drop).expect_err("refused")
        };
        for (event, words) in [(7, "does not count any more"), (marker, "one end of a rollback"), (marker + 1, "bookkeeping")] {
            let error = refused(without(event, None)).await;
            assert_eq!(error.code, ErrorCode::NothingToUndo, "{}", error.message);
            assert!(error.message.contains(words) && error.message.contains(&format!("#{event}")), "{}", error.message);
        }
        assert_eq!(refused(without(99, None)).await.code, ErrorCode::UnknownEvent);
        let target = RollbackTarget::AfterEvent(1);
        let error = refused(only("smaple", target)).await;
        assert_eq!(error.code, ErrorCode::UnknownTable);
        assert!(error.hint.is_some_and(|hint| hint.contains("sample")));
        let error = refused(only("sample/c053009a", target)).await;
        assert!(error.message.contains("\"c053009a\" is no uuid"), "{}", error.message);
        assert_eq!(refused(only("booking", target)).await.code, ErrorCode::UnknownTable);
        let nobody = Uuid::from_u128(7);
        assert_eq!(refused(only(&format!("sample/{nobody}"), target)).await.code, ErrorCode::RowMissing);
        let replay = RollbackRequest { strategy: Strategy::Replay, ..only("sample", target) };
        assert_eq!(refused(replay).await.code, ErrorCode::Usage);
        // Nothing of it comes after the target: nothing is appended.
        let head = lab.store.head().await.unwrap();
        let nothing = lab.take(only("spectrum", RollbackTarget::AfterEvent(6))).await.unwrap();
        assert_eq!((nothing.rollback, lab.store.head().await.unwrap()), (None, head));
        lab.undo(false).await.unwrap();
        assert_eq!(lab.rows().await, whole);
    }
}
