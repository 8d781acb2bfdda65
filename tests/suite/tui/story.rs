//! Someone opens the Mad Lab, looks around, takes it back, and undoes it: keys through the real runtime.

use ebbtide::eventsourcing::EventKind;
use ebbtide::tui::keymap::Key;
use ebbtide::tui::message::Message;
use serde_json::json;

use super::player::{LOOK, play};
use crate::support::{Database, create, id, on_both};

on_both! {
    async fn the_lab_is_taken_back_and_the_rollback_undone(backend) {
        let lab = Database::mad_lab(backend).await;
        let whole = lab.rows().await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "18 events · 16 rows"]).await;
            // The tables, one of them, and back.
            player.press(Key::Char('2'));
            player.see(&["experiment_machine"]).await;
            player.press(Key::Enter);
            player.see(&["stupid_units"]).await;
            player.press(Key::Esc);
            player.press(Key::Char('1'));
            // To #15, and what a rollback would do.
            (0..3).for_each(|_| player.press(Key::Char('j')));
            player.see(&["#15 create experiment"]).await;
            player.press(Key::Char('R'));
            player.see(&["Take", "just before #15", "4 events undone", "4 rows removed", "6 events appended by minimal"]).await;
            player.press(Key::Char('i'));
            player.see(&["just after #15", "3 events undone"]).await;
            player.press(Key::Char('i'));
            player.see(&["just before #15"]).await;
            player.press(Key::Char('s'));
            player.see(&["32 events appended by replay"]).await;
            player.press(Key::Char('s'));
            player.see(&["6 events appended by minimal"]).await;
            // Why it is done is kept with it.
            player.see(&["reason: none given (w: say why)"]).await;
            player.press(Key::Char('w'));
            player.see(&["why"]).await;
            player.type_text("the knob was stuck");
            player.press(Key::Enter);
            player.see(&["reason: \"the knob was stuck\""]).await;
            // What is typed before the question is on the screen does not answer it.
            player.press(Key::Enter);
            player.type_text("15");
            player.press(Key::Enter);
            player.see(&["type 15 and", " #_"]).await;
            assert_eq!(lab.store.head().await.unwrap(), 18);
            // Enter alone does not do it, nor does the wrong id.
            player.press(Key::Enter);
            player.see(&["Not confirmed", "Preview"]).await;
            player.press(Key::Enter);
            player.see(&["type 15 and"]).await;
            player.type_text("14");
            player.press(Key::Enter);
            player.see(&["Not confirmed", "Preview"]).await;
            assert_eq!(lab.store.head().await.unwrap(), 18);
            player.press(Key::Enter);
            player.see(&["type 15 and", "Reason: the knob was stuck"]).await;
            player.type_text("15");
            player.press(Key::Enter);
            player.see(&["6 events appended, #19 to #24", "verified equal to #14", "24 events · 12 rows"]).await;
            assert_eq!(lab.rows().await.len(), 12);
            assert_eq!(lab.log().await[18].data["reason"], json!("the knob was stuck"));
            // The timeline says what has become of the events.
            player.press(Key::Enter);
            player.see(&["of #19", "undone by #19", "rollback-end"]).await;
            // And back again.
            player.press(Key::Char('u'));
            let undo = player.see(&["Undo rollback #19", "4 brought back", "s strategy"]).await;
            assert!(!undo.contains("i boundary"), "{undo}");
            player.press(Key::Enter);
            player.see(&["type 19 and", "[ Undo ]"]).await;
            player.type_text("19");
            player.press(Key::Enter);
            player.see(&["6 events appended, #25 to #30", "30 events · 16 rows"]).await;
            player.press(Key::Char('q'));
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        assert_eq!(lab.rows().await, whole);
        lab.assert_no_drift().await;
    }

    async fn a_plan_that_has_become_stale_is_made_and_confirmed_again(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "LIVE #18", "16 rows"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #18"]).await;
            player.press(Key::Enter);
            player.see(&["type 18 and"]).await;
            lab.append(vec![create("molecule", id(1), json!({"smiles": "LATE"}))]).await;
            player.see(&["The log has gone on to #19", "Where events keep coming"]).await;
            player.type_text("18");
            player.press(Key::Enter);
            player.see(&["moved on", "2 events undone", "confirm it again"]).await;
            assert_eq!(lab.store.head().await.unwrap(), 19, "nothing was written");
            player.press(Key::Enter);
            player.see(&["type 18 and"]).await;
            player.type_text("18");
            player.press(Key::Enter);
            player.see(&["4 events appended", "15 rows"]).await;
            player.press(Key::Char('q'));
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        lab.assert_no_drift().await;
    }

    async fn a_refusal_is_told_and_nothing_is_lost(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "LIVE #18", "16 rows"]).await;
            player.press(Key::Char('u'));
            player.see(&["nothing to undo", "[1 Timeline]"]).await;
            player.press(Key::Char('j'));
            player.see_no("nothing to undo").await;
            // Keeping the last event undoes nothing.
            player.press(Key::Char('k'));
            player.press(Key::Char('R'));
            player.see(&["just before #18"]).await;
            player.press(Key::Char('i'));
            player.see(&["Nothing to undo"]).await;
            player.press(Key::Enter);
            player.see(&["no event comes after the target", "Preview"]).await;
            player.press(Key::Esc);
            player.see(&["[1 Timeline]", "#18"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_long_log_is_walked_to_both_ends_and_origins_are_found(backend) {
        let lab = Database::mad_lab(backend).await;
        let many = (0..1500).map(|n| create("fragment", id(n), json!({"smiles": format!("F{n}")})));
        lab.append(many.collect()).await;
        lab.roll_back(
            ebbtide::eventsourcing::rollback::RollbackTarget::BeforeEvent(19),
            ebbtide::eventsourcing::rollback::Strategy::Minimal,
        ).await.unwrap();
        lab.undo(false).await.unwrap();
        let head = lab.store.head().await.unwrap();
        let log = lab.log().await;
        let restored = log.iter().rev().find(|event| event.kind == EventKind::Restore).unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&[&format!("▌┌#{head}"), "1516 rows"]).await;
            player.press(Key::Down);
            player.see(&[&format!("#{} restore fragment", restored.id), "o goes there"]).await;
            player.press(Key::Char('o'));
            let origin = restored.origin.unwrap();
            player.see(&[&format!("#{origin} create fragment")]).await;
            player.press(Key::Char('k'));
            player.see(&[&format!("#{} ", origin + 1)]).await;
            player.press(Key::Char('G'));
            player.see(&["▌ #1 ", "#1 create lab"]).await;
            // Faster than pages are read: none of these is lost.
            (0..400).for_each(|_| player.press(Key::Up));
            player.see(&["▌│#401 "]).await;
            player.press(Key::Char('g'));
            player.see(&[&format!("▌┌#{head}")]).await;
            player.press_until(Key::PageDown, "▌ #1 ").await;
            player.press_until(Key::PageUp, &format!("▌┌#{head}")).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_request_to_end_leaves(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.send(Message::Terminate);
        })
        .await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.press(Key::Ctrl('c'));
            player.see(&["Ctrl-C again leaves"]).await;
            player.press(Key::Ctrl('c'));
        })
        .await;
    }
}

/// A rollback that waits for another writer says for whom, and goes on when that one is done.
#[test]
fn a_rollback_says_whom_it_waits_for() {
    use ebbtide::eventsourcing::store::Backend;
    use sqlx::{Connection, Executor, PgConnection};
    crate::support::run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut holder = PgConnection::connect(&lab.argument()).await.unwrap();
        holder
            .execute("SET application_name = 'titration'; BEGIN; SELECT sourcing.take_writer()")
            .await
            .unwrap();
        let found = lab.store.writer().await.unwrap().unwrap();
        assert_eq!(
            (found.role.as_str(), found.program.as_deref()),
            ("postgres", Some("titration"))
        );
        assert!(found.process.is_some() && found.since.is_some());
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #18"]).await;
            player.press(Key::Enter);
            player.see(&["type 18 and"]).await;
            player.type_text("18");
            player.press(Key::Enter);
            player
                .see(&["Waiting for postgres (titration, process"])
                .await;
            holder.execute("ROLLBACK").await.unwrap();
            player.see(&["3 events appended, #19 to #21"]).await;
            player.press(Key::Char('q'));
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        assert_eq!(lab.store.writer().await.unwrap(), None);
        lab.assert_no_drift().await;
    });
}
