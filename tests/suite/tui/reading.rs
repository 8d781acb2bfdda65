//! Reading closely: a plan row by row, a row's life however long its events are, and the way back from each.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::tui::keymap::Key;
use serde_json::json;

use super::player::{LOOK, play};
use crate::contract::with_types;
use crate::support::{Database, create, id, on_both, update};

on_both! {
    async fn a_plan_is_read_row_by_row_and_left_for_other_places(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows"]).await;
            player.go_to(15).await;
            player.see(&["#15 create experiment"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #15", "4 events undone (4 by"]).await;
            // One after the other, the last one last.
            player.press(Key::Tab);
            player.see(&["▌- remove molecule"]).await;
            player.press(Key::Tab);
            player.see(&["▌- remove xy_data"]).await;
            // What it loses, whole, and what has happened to it.
            player.press(Key::Char('v'));
            player.see(&["- remove xy_data", "       \"NMR v1\"", "     → ∅"]).await;
            player.press(Key::Esc);
            player.see(&["▌- remove xy_data"]).await;
            player.press(Key::Char('h'));
            player.see(&["[3 Row]", "xy_data 4d78fcc7", "#17 create"]).await;
            player.press(Key::Backspace);
            player.see(&["Preview", "▌- remove xy_data"]).await;
            for _ in 0..2 {
                player.press(Key::Tab);
            }
            player.see(&["▌- remove experiment"]).await;
            player.press(Key::Tab);
            player.see(&["This is the last row."]).await;
            player.press(Key::BackTab);
            player.see(&["▌- remove data_unit"]).await;
            // Elsewhere, and back to it: nothing of it is lost.
            player.press(Key::Char('2'));
            player.see(&["[2 Tables]", "experiment_machine"]).await;
            player.press(Key::Char('4'));
            player.see(&["Preview", "▌- remove data_unit"]).await;
            // A filter is looked at from its first row on, and stands beside the place.
            player.press(Key::End);
            player.press(Key::Char('/'));
            player.type_text("xy_data");
            player.press(Key::Enter);
            player.see(&["Take", "1 of 4 rows with \"xy_data\"", "/xy_data 1–"]).await;
            player.press(Key::Enter);
            player.see(&["type 15 and", "Recorded as made by ", "Afterwards u undoes it."]).await;
            // The sign that stands before the field may be typed too.
            player.type_text("#15");
            player.press(Key::Enter);
            player.see(&["6 events appended, #19 to #24", "12 rows"]).await;
            player.press(Key::Char('5'));
            player.see(&["[5 Audit]", "#19 in effect · rollback to #14"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        assert_eq!(lab.rows().await.len(), 12);
        lab.assert_no_drift().await;
    }

    async fn all_that_is_said_before_the_last_question_can_be_read_on_a_small_screen(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (60, 16), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.go_to(15).await;
            player.see(&["#15 create experiment"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #15"]).await;
            player.press(Key::Char('w'));
            player.type_text("the sample was contaminated, as anna found when she looked at the spectra of this week once more");
            player.press(Key::Enter);
            player.see(&["reason: \"the sample was"]).await;
            player.press(Key::Enter);
            player.see(&["type 15 and", "… lines 1–", "↑ ↓ show the others", "[ Cancel ]"]).await;
            player.see_no("Afterwards u undoes it.").await;
            player.press_until(Key::Down, "Afterwards u undoes it.").await;
            // The end is the end, and what is typed is typed all the same.
            player.press(Key::Down);
            player.type_text("15");
            player.see(&["Afterwards u undoes it.", "#15_", "▌[ Roll back ]"]).await;
            player.press_until(Key::Up, "… lines 1–").await;
            player.press(Key::Enter);
            player.see(&["6 events appended, #19 to #24"]).await;
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
        assert_eq!(lab.rows().await.len(), 12);
    }

    async fn an_undo_of_another_rollback_than_the_chosen_one_says_so(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.roll_back(RollbackTarget::BeforeEvent(18), Strategy::Minimal).await.unwrap();
        lab.append(vec![create("molecule", id(1), json!({"smiles": "GHI"}))]).await;
        lab.roll_back(RollbackTarget::BeforeEvent(22), Strategy::Minimal).await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌┌#25"]).await;
            player.press(Key::Char('5'));
            player.see(&["#23 in effect", "#19 in effect", "Events by actor"]).await;
            player.press(Key::Down);
            player.press(Key::Down);
            player.see(&["▌  #19 in effect"]).await;
            player.press(Key::Char('u'));
            player.see(&["This is another one than #19, which you were looking at: #23 is the latest in"]).await;
            player.press(Key::Esc);
            player.see(&["▌  #19 in effect"]).await;
            player.press(Key::Up);
            player.see(&["▌  #23 in effect"]).await;
            player.press(Key::Char('u'));
            player.see(&["Undo rollback #23"]).await;
            player.see_no("another one").await;
            player.press(Key::Esc);
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn what_was_redone_is_undone_with_its_redo(backend) {
        let lab = Database::mad_lab(backend).await;
        let first = lab.roll_back(RollbackTarget::BeforeEvent(18), Strategy::Minimal).await.unwrap();
        lab.undo(false).await.unwrap();
        let redo = lab.redo(false).await.unwrap();
        let (first, redo) = (first.rollback.unwrap(), redo.rollback.unwrap());
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            // The end of the redo is under the cursor, and says whose end it is.
            player.see(&["▌┌#", &format!("of #{redo} end of the redo")]).await;
            player.press(Key::Char('u'));
            let note = format!("Redo #{redo} has made #{first} effective again");
            let shown = player.see(&[&format!("Undo rollback #{first}"), &note]).await;
            assert!(!shown.contains("another one than") && !shown.contains("taken back too"), "{shown}");
            player.press(Key::Esc);
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_row_keeps_its_event_through_time(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.append(vec![update("molecule", uuid::uuid!("c053009a-9b1d-44a7-8267-f5befdb03eb0"), json!({"smiles": "XYZ"}))]).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #19", "#19 update molecule"]).await;
            player.press(Key::Char('h'));
            player.see(&["[3 Row]", "▌~ #19 update", "molecule_fragment.molecule_id  3 rows"]).await;
            player.press(Key::Down);
            player.see(&["▌~ #10 update"]).await;
            player.press(Key::Char('t'));
            player.see(&["PAST #10 of #19", "▌~ #10 update", "molecule_fragment.molecule_id  not counted in the past"]).await;
            player.see_no("#19 update").await;
            player.press(Key::Char('T'));
            player.see(&["LIVE #19", "#19 update", "▌~ #10 update"]).await;
            // So what is planned from there is what the cursor is on: before it, or where the past after it is shown, that past.
            player.press(Key::Char('R'));
            player.see(&["just before #10", "scope: the row molecule c053009a"]).await;
            // Widened step by step.
            player.press(Key::Char('o'));
            player.see(&["Take the table molecule"]).await;
            player.press(Key::Char('o'));
            player.see(&["(o: the row molecule"]).await;
            player.press(Key::Esc);
            player.see(&["▌~ #10 update"]).await;
            player.press(Key::Char('t'));
            player.see(&["PAST #10 of #19"]).await;
            player.press(Key::Char('R'));
            player.see(&["just after #10", "LIVE #19", "19 events"]).await;
            player.press(Key::Esc);
            player.see(&["PAST #10 of #19", "▌~ #10 update"]).await;
            player.press(Key::Char('T'));
            player.see(&["LIVE #19", "#19 update"]).await;
            // Before it was there the log has nothing of it, up to then.
            player.press(Key::Char('1'));
            player.go_to(3).await;
            player.press(Key::Char('t'));
            player.see(&["PAST #3 of #19"]).await;
            player.press(Key::Char('3'));
            player.see(&["not there after #3", "Its life up to #3", "The log has no event of it up to #3."]).await;
            // There is none to be chosen either.
            player.press(Key::Char('R'));
            player.see(&["The log has no event of this row, so there is none to choose."]).await;
            player.press(Key::Char('1'));
            player.see(&["▌ #3"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn an_event_that_is_taller_than_the_screen_is_read_to_its_end(backend) {
        let columns: Vec<String> = (1..=60).map(|n| format!("c{n:02} INTEGER")).collect();
        let text = format!("CREATE TABLE wide (wide_id {{uuid}} PRIMARY KEY NOT NULL, {});", columns.join(", "));
        let lab = Database::with(backend, &with_types(&text, backend)).await;
        let data: serde_json::Map<_, _> = (1..=60).map(|n| (format!("c{n:02}"), json!(n))).collect();
        lab.append(vec![create("wide", id(1), json!(data))]).await;
        lab.append(vec![update("wide", id(1), json!({"c01": 7}))]).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #2", "#2 update wide"]).await;
            player.press(Key::Char('h'));
            player.see(&["▌~ #2 update"]).await;
            player.press(Key::Down);
            player.see(&["▌+ #1 create"]).await;
            // Line by line and page by page, and back again.
            player.press(Key::Down);
            player.see(&["▌    + wide_id"]).await;
            player.press_until(Key::PageDown, "c60").await;
            player.press(Key::PageDown);
            player.see(&["▌", "c60"]).await;
            player.press_until(Key::PageUp, "▌+ #1 create").await;
            player.press_until(Key::Up, "▌~ #2 update").await;
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
    }
}
