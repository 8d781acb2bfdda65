//! What else people do at the screens, as keys through the real runtime.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::store::{self, OpenOptions};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::message::{Message, Mouse};
use serde_json::json;

use super::player::{LOOK, play};
use crate::support::{Database, create, id, on_both, options, run};

on_both! {
    async fn where_nothing_can_be_written_the_screens_say_so_and_show_the_plan(backend) {
        let lab = Database::mad_lab(backend).await;
        let read_only = OpenOptions { read_only: true, ..options() };
        let store = store::open(&lab.address, &read_only).await.unwrap();
        play(store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["READ-ONLY", "▌ #18"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #18", "1 row removed"]).await;
            player.see_no("Enter confirm").await;
            player.press(Key::Enter);
            player.see(&["Nothing can be written here", "Preview"]).await;
            player.press(Key::Char('q'));
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        store.close().await;
        assert_eq!(lab.store.head().await.unwrap(), 18);
    }

    async fn a_finding_of_the_verification_leads_to_its_row(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.sql("UPDATE molecule SET smiles = 'FORGED' WHERE smiles = 'DEF'").await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows"]).await;
            player.press(Key::Char('5'));
            player.see(&["Not looked at yet", "Events by actor"]).await;
            player.press(Key::Char('v'));
            player.see(&["No: 1 difference", "molecule e3dde6c2 smiles is \"FORGED\", and the log says \"DEF\""]).await;
            player.press(Key::Down);
            player.see(&["▌  molecule e3dde6c2"]).await;
            player.press(Key::Enter);
            player.see(&["[3 Row]", "smiles       FORGED", "#18 create"]).await;
            player.press(Key::Esc);
            player.see(&["[5 Audit]", "No: 1 difference"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn the_log_is_written_to_a_file_that_is_not_there_yet(backend) {
        let lab = Database::mad_lab(backend).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log.jsonl");
        play(lab.store.clone(), (120, 30), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows"]).await;
            player.press(Key::Char('5'));
            player.see(&["Events by day"]).await;
            for wanted in ["18 events, one a line", "cannot be written: it is there already"] {
                player.press(Key::Char('e'));
                player.see(&["write the log to", "all 18 events of the log, into a new file"]).await;
                player.press(Key::Ctrl('u'));
                player.type_text(file.to_str().unwrap());
                player.press(Key::Enter);
                player.see(&[wanted]).await;
            }
            // The failure unfolded, and left again.
            player.press(Key::Char('!'));
            player.see(&["What failed last", "nothing is overwritten", "code: io"]).await;
            player.press(Key::Esc);
            player.see_no("What failed last").await;
            player.press(Key::Char('q'));
        })
        .await;
        let written = std::fs::read_to_string(&file).unwrap();
        let events: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 18);
        assert_eq!((&events[0]["id"], &events[17]["type"]), (&json!(1), &json!("molecule")));
    }

    async fn values_are_copied_whole_and_in_parts(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows"]).await;
            player.press(Key::Char('y'));
            player.see(&["Copied: e3dde6c2-ab0c-4c77-9d55-e52d58a1425d"]).await;
            player.press(Key::Char('2'));
            player.see(&["[2 Tables]", "experiment_machine"]).await;
            player.press(Key::Char('/'));
            player.type_text("xy_data");
            player.press(Key::Enter);
            player.press(Key::Enter);
            player.see(&["xy_data · 1 row", "NMR v1"]).await;
            // The arrays are longer than what a grid holds, and are copied all the same.
            player.press_until(Key::Right, ": x ").await;
            player.press(Key::Char('y'));
            player.see(&["Copied:", "0.10101010101010101"]).await;
            // A part of the value, and all of it; in the plot stands the unit that another column names.
            player.press(Key::Enter);
            player.see(&["xy_data.x of 4d78fcc7 · 100 values", "(stupid_units)"]).await;
            player.press(Key::Down);
            player.press(Key::Char('y'));
            player.see(&["Copied: 0"]).await;
            player.press(Key::Char('Y'));
            player.see(&["Copied:", "0.10101010101010101"]).await;
            player.press(Key::Char('q'));
            player.see(&["xy_data · 1 row"]).await;
            player.press(Key::Char('Y'));
            player.see(&["Copied:", "{\"xy_data_id\":"]).await;
            player.press(Key::Char('q'));
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn columns_are_hidden_pinned_and_the_last_row_is_gone_to(backend) {
        let lab = Database::mad_lab(backend).await;
        let fragments = (1..=170).map(|n| create("fragment", id(n << 100), json!({"smiles": format!("F{n}")})));
        lab.append(fragments.collect()).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["LIVE #188", "186 rows"]).await;
            player.press(Key::Char('2'));
            player.see(&["[2 Tables]", "fragment"]).await;
            player.press_until(Key::Down, "▌ fragment ").await;
            player.press(Key::Enter);
            player.see(&["fragment · 173 rows", "column 1 of 5", "|fragment_id"]).await;
            player.press(Key::Char('G'));
            player.see_settled(&["▌  e23166bb"]).await;
            player.press(Key::Char('g'));
            player.see(&["▌  10000010"]).await;
            player.press(Key::Right);
            player.see(&[": metadata "]).await;
            player.press(Key::Char('-'));
            player.see(&["column 2 of 4: smiles", "1 hidden"]).await;
            player.see_no("metadata").await;
            player.press(Key::Char('p'));
            player.see(&["|smiles"]).await;
            player.press(Key::Char('+'));
            player.see(&["column 2 of 5: smiles", "metadata"]).await;
            // A filter's rows are counted where that is asked, and Esc ends the filter before it leaves the table.
            player.press(Key::Char('/'));
            player.type_text("smiles~F1");
            player.press(Key::Enter);
            player.see(&["only smiles~F1", "40 rows"]).await;
            player.press(Key::Char('c'));
            player.see(&["fragment · 82 rows · only smiles~F1"]).await;
            player.press(Key::Esc);
            player.see(&["fragment · 173 rows"]).await;
            player.press(Key::Esc);
            player.see(&["[2 Tables]", "experiment_machine"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn the_mouse_goes_from_screen_to_screen_and_row_to_row(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows", "▁▁▁"]).await;
            player.send(Message::Mouse(Mouse::Turned(2)));
            player.see(&["▌ #16"]).await;
            let tables = Mouse::Pressed { column: 15, line: 1 };
            player.send(Message::Mouse(tables));
            player.see(&["[2 Tables]", "▌ data_unit"]).await;
            for _ in 0..2 {
                player.send(Message::Mouse(Mouse::Pressed { column: 4, line: 4 }));
            }
            player.see(&["experiment · 1 row"]).await;
            player.press(Key::Char('q'));
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn what_is_so_already_is_not_confirmed_and_an_undo_says_whose_it_takes_back(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Minimal).await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["LIVE #24", "12 rows"]).await;
            player.press(Key::Char(':'));
            player.type_text("15");
            player.press(Key::Enter);
            player.press(Key::Char('R'));
            player.see(&["just before #15", "It is so already: nothing would change."]).await;
            player.see_no("Enter confirm").await;
            player.press(Key::Enter);
            player.see(&["there is nothing to confirm", "Preview"]).await;
            player.press(Key::Esc);
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('u'));
            player.see(&["#19 was made by", "Undo rollback #19"]).await;
            // What comes meanwhile makes the plan stale, which is said before anything is typed.
            lab.append(vec![create("molecule", id(1), json!({"smiles": "LATE"}))]).await;
            player.see(&["The log has gone on to #25 since this plan"]).await;
            player.press(Key::Enter);
            player.see(&["so it will be refused", "type 19 and"]).await;
            player.press(Key::Esc);
            player.press(Key::Char('r'));
            player.see(&["1 event made after rollback #19"]).await;
            player.see_no("gone on to").await;
            player.press(Key::Char('q'));
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        assert_eq!(lab.store.head().await.unwrap(), 25);
    }

    async fn what_is_shown_of_the_past_is_what_a_rollback_keeps_and_a_rows_page_is_of_that_row(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows"]).await;
            player.press(Key::Down);
            player.press(Key::Char('t'));
            player.see(&["PAST #17 of #18"]).await;
            player.press(Key::Char('1'));
            player.see(&["▌ #17"]).await;
            player.press(Key::Char('R'));
            player.see(&["just after #17", "1 event undone"]).await;
            player.press(Key::Esc);
            player.see(&["▌ #17"]).await;
            player.press(Key::Char('T'));
            player.see(&["LIVE #18"]).await;
            player.press(Key::Char('h'));
            player.see(&["[3 Row]", "▌+ #17 create"]).await;
            player.press(Key::Char('R'));
            player.see(&["Take the row xy_data 4d78fcc7", "just before #17", "Everything else is left"]).await;
            player.press(Key::Esc);
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_blocker_leads_to_its_row_and_back_to_the_plan(backend) {
        let lab = Database::mad_lab(backend).await;
        // Another row has the value that is to come back.
        lab.append(vec![
            crate::support::update("molecule", "e3dde6c2-ab0c-4c77-9d55-e52d58a1425d".parse().unwrap(), json!({"smiles": "GHI"})),
        ])
        .await;
        lab.sql("UPDATE molecule SET smiles = 'BEHIND' WHERE smiles = 'ABC'").await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["LIVE #19"]).await;
            player.press(Key::Char(':'));
            player.type_text("10");
            player.press(Key::Enter);
            player.see(&["▌ #10"]).await;
            player.press(Key::Char('R'));
            player.see(&["In the way", "b row in the way"]).await;
            player.see_no("Enter confirm").await;
            player.press(Key::Char('b'));
            player.see(&["[3 Row]", "smiles       BEHIND"]).await;
            player.press(Key::Esc);
            player.see(&["[4 Rollback]", "In the way"]).await;
            player.press(Key::Esc);
            player.see(&["[1 Timeline]", "▌ #10"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }
}

/// What the server does for a read is stopped with it, and the screen answers meanwhile.
#[test]
fn a_long_read_is_cancelled_and_the_server_stops_working_on_it() {
    use sqlx::{Connection, Executor, PgConnection};
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut other = PgConnection::connect(&lab.argument()).await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see_settled(&["▌ #18", "16 rows"]).await;
            other.execute("BEGIN; LOCK TABLE molecule IN ACCESS EXCLUSIVE MODE").await.unwrap();
            player.press(Key::Char('2'));
            player.see(&["[2 Tables]", "molecule"]).await;
            player.press_until(Key::Down, "▌ molecule ").await;
            player.press(Key::Enter);
            player.see(&["reading…", "molecule"]).await;
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let mut is_waiting = async || {
                let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut other).await.unwrap();
                count > 0
            };
            while !is_waiting().await {}
            // Keys are answered while it waits.
            player.press(Key::Char('?'));
            player.see(&["Keys here"]).await;
            player.press(Key::Esc);
            player.press(Key::Ctrl('c'));
            player.see(&["Not read: r tries again"]).await;
            while is_waiting().await {}
            other.execute("ROLLBACK").await.unwrap();
            player.press(Key::Char('r'));
            player.see(&["molecule · 2 rows", "DEF"]).await;
            player.press(Key::Char('q'));
            player.press(Key::Char('q'));
        })
        .await;
    });
}

/// Nobody is left to guess what became of a rollback whose connection the server ended.
#[test]
fn a_rollback_that_loses_its_connection_says_that_nothing_was_written() {
    use sqlx::{Connection, Executor, PgConnection};
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut other = PgConnection::connect(&lab.argument()).await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see_settled(&["▌ #18", "16 rows"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #18"]).await;
            player.press(Key::Enter);
            player.see(&["type 18 and"]).await;
            // It waits here until it is ended.
            other.execute("BEGIN; LOCK TABLE sourcing.writer IN ACCESS EXCLUSIVE MODE").await.unwrap();
            player.type_text("18");
            player.press(Key::Enter);
            player.see(&["Rolling back"]).await;
            let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'";
            loop {
                let count: i64 = sqlx::query_scalar(ended).fetch_one(&mut other).await.unwrap();
                if count > 0 {
                    break;
                }
            }
            other.execute("ROLLBACK").await.unwrap();
            player.see(&["It was not done", "Nothing was written: the log still ends at #18.", "Preview"]).await;
            player.press(Key::Char('!'));
            player.see(&["What failed last", "terminating connection"]).await;
            player.press(Key::Esc);
            // And once more, with nobody in the way.
            player.press(Key::Enter);
            player.see(&["type 18 and"]).await;
            player.type_text("18");
            player.press(Key::Enter);
            player.see(&["3 events appended, #19 to #21"]).await;
            player.press(Key::Esc);
            player.see(&["[1 Timeline]", "Done:", "u undoes it"]).await;
            player.press(Key::Char('q'));
        })
        .await;
        lab.assert_no_drift().await;
    });
}
