//! Looking around: filters, jumps, links and the way back, the past, what arrives meanwhile.

use ebbtide::tui::keymap::Key;
use ebbtide::tui::memory;
use serde_json::json;

use super::player::{LOOK, play};
use crate::support::{Database, create, id, on_both};

on_both! {
    async fn a_filter_shows_what_matches_and_a_link_leads_back_to_it(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.press(Key::Char('/'));
            player.type_text("type:mol");
            player.see(&["molecule   molecule_fragment"]).await;
            // Completed once more, the next one stands there; and after the last the first again.
            player.press(Key::Tab);
            player.see(&["3 matches", "filter: type:molecule\n", "[molecule]"]).await;
            player.press(Key::Tab);
            player.see(&["filter: type:molecule_fragment\n", "[molecule_fragment]"]).await;
            player.press(Key::Tab);
            player.see(&["3 matches", "filter: type:molecule\n", "[molecule]"]).await;
            player.press(Key::Enter);
            player.see_settled(&["3 matches", "▌ #18", "#10 ", "#6 "]).await;
            player.press(Key::End);
            player.see(&["▌ #6", "#6 create molecule"]).await;
            // Its life, and from an event of it back to the timeline, and back twice.
            player.press(Key::Char('h'));
            player.see(&["[3 Row]", "▌+ #6 create"]).await;
            player.press(Key::Up);
            player.see(&["▌~ #10 update"]).await;
            player.press(Key::Enter);
            player.see(&["[1 Timeline]", "▌ #10", "3 matches"]).await;
            player.press(Key::Backspace);
            player.see(&["[3 Row]", "▌~ #10 update"]).await;
            player.press(Key::Backspace);
            player.see(&["[1 Timeline]", "▌ #6", "3 matches"]).await;
            // From an event that is open too.
            player.press(Key::Enter);
            player.see(&["     → \"A-UGLY-TYPO-C\""]).await;
            player.press(Key::Char('h'));
            player.see(&["[3 Row]", "▌+ #6 create"]).await;
            player.press(Key::Backspace);
            player.see(&["     → \"A-UGLY-TYPO-C\""]).await;
            player.press(Key::Esc);
            player.see(&["▌ #6", "3 matches"]).await;
            // All events again, around the one under the cursor.
            player.press(Key::Esc);
            player.see(&["▌ #6 ", "#5 ", "#7 "]).await;
            // Every command has its name, and its place.
            player.press(Key::Char(':'));
            player.type_text("pin");
            player.see(&["pin the column  (in a table's rows)"]).await;
            player.press(Key::Enter);
            player.see(&["\"pin-column\" is a command of a table's rows: it cannot be done here."]).await;
            player.see_no("matches").await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_filter_that_is_left_by_escape_is_the_one_before(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.press(Key::Char('/'));
            player.type_text("event:update");
            player.press(Key::Enter);
            player.see(&["2 matches", "▌ #12"]).await;
            player.press(Key::Char('/'));
            player.type_text("nothing-like-it");
            player.see(&["No event matches", "0 matches"]).await;
            player.press(Key::Esc);
            player.see(&["filter: event:update", "2 matches", "▌ #12"]).await;
            // A link to what the filter hides shows all events, says so, and the way back leads to the filter.
            player.press(Key::Char(':'));
            player.type_text("3");
            player.press(Key::Enter);
            player.see(&["▌ #3", "#3 is not among what the filter showed"]).await;
            player.press(Key::Backspace);
            player.see(&["filter: event:update", "2 matches", "▌ #12"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_moment_and_an_event_are_gone_to_and_bursts_jumped(backend) {
        let lab = Database::mad_lab(backend).await;
        // One burst, and years later another one.
        lab.append(vec![create("molecule", id(1), json!({"smiles": "LATE"}))]).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #19", "▁▁▁", "LIVE #19", "2020-02-17 03:10"]).await;
            player.press(Key::Char(':'));
            player.type_text("2020-02-17 03:09:50");
            player.see(&["go to 2020-02-17 03:09:50 UTC"]).await;
            player.press(Key::Enter);
            player.see(&["▌ #11", "The first event at 2020-02-17 03:09:50 UTC or later", "as after #10."]).await;
            player.press(Key::Char(':'));
            player.type_text("2999-01-01");
            player.press(Key::Enter);
            player.see(&["▌ #19", "No event is as late as 2999-01-01 00:00:00 UTC"]).await;
            // As the list writes them, of the day or the year of the event under the cursor.
            player.press(Key::Down);
            player.see(&["▌ #18"]).await;
            player.press(Key::Char(':'));
            player.type_text("03:09:57");
            player.press(Key::Enter);
            player.see(&["▌ #12", "The first event at 2020-02-17 03:09:57 UTC"]).await;
            player.press(Key::Char(':'));
            player.type_text("02-17 03:10");
            player.press(Key::Enter);
            player.see(&["▌ #16", "The first event at 2020-02-17 03:10:00 UTC"]).await;
            // A key that is for another place says so.
            player.press(Key::Char('v'));
            player.see(&["v does nothing here; in the audit it is \"verify\"."]).await;
            player.press(Key::Char('X'));
            player.see(&["X does nothing here; ? shows what does."]).await;
            player.press(Key::Char(':'));
            player.type_text("#4");
            player.press(Key::Enter);
            player.see(&["▌ #4", "#4 create"]).await;
            player.press(Key::Char(']'));
            player.see(&["▌ #19"]).await;
            player.press(Key::Char(']'));
            player.see(&["There is no burst of events after"]).await;
            player.press(Key::Char('['));
            player.see(&["▌ #1 "]).await;
            player.press(Key::Char('['));
            player.see(&["There is no burst of events before"]).await;
            // Among those that a filter shows.
            player.press(Key::Char('/'));
            player.type_text("type:molecule");
            player.press(Key::Enter);
            player.see(&["4 matches"]).await;
            player.press(Key::Home);
            player.see(&["▌ #19"]).await;
            player.press(Key::Char('['));
            player.see(&["▌ #6"]).await;
            player.press(Key::Esc);
            player.see(&["#5 "]).await;
            // What looks like a key and is none is searched for as text, and said to be.
            player.press(Key::Char('/'));
            player.type_text("table:molecule");
            player.see(&["0 matches · table: is no key and is searched for as text"]).await;
            player.press(Key::Esc);
            player.press(Key::Char(':'));
            player.type_text("99");
            player.press(Key::Enter);
            player.see(&["There is no event #99: the log has #1 to #19"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn the_past_is_shown_marked_and_left_again(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "18 events · 16 rows"]).await;
            player.press(Key::Char(':'));
            player.type_text("6");
            player.press(Key::Enter);
            player.see(&["▌ #6"]).await;
            player.press(Key::Char('t'));
            player.see(&["PAST #6 of #18", "[2 Tables]", "18 events · 6 rows"]).await;
            player.press(Key::Char('/'));
            player.type_text("molecule");
            player.press(Key::Enter);
            player.press(Key::Enter);
            player.see(&["molecule · 1 row", "▌~ c053009a", "A-UGLY-TYPO-C*"]).await;
            // The row itself, as it was then.
            player.press(Key::Enter);
            player.see(&["as it was after #6", "A-UGLY-TYPO-C  (now ABC)", "#6 create"]).await;
            player.see_no("#10 update").await;
            player.press(Key::Char('T'));
            player.see(&["LIVE #18", "smiles       ABC", "#10 update"]).await;
            player.press(Key::Esc);
            player.see(&["molecule · 2 rows", "DEF", "18 events · 16 rows"]).await;
            player.see_no("*").await;
            player.press(Key::Esc);
            player.press(Key::Char('1'));
            player.see(&["[1 Timeline]"]).await;
            // Within a transaction nobody has ever seen the tables: its end is shown.
            player.press(Key::Char(':'));
            player.type_text("8");
            player.press(Key::Enter);
            player.see(&["▌│#8"]).await;
            player.press(Key::Char('t'));
            player.see(&["PAST #9 of #18"]).await;
            player.press(Key::Char('q'));
            player.see(&["▌│#8"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn rows_are_sorted_and_filtered_and_keys_followed_both_ways(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "16 rows"]).await;
            player.press(Key::Char('2'));
            player.see(&["[2 Tables]", "molecule_fragment"]).await;
            player.press(Key::Char('/'));
            player.type_text("molecule_fr");
            player.press(Key::Enter);
            player.press(Key::Enter);
            player.see(&["molecule_fragment · 3 rows"]).await;
            // metadata, molecule_id, fragment_id, order
            (0..4).for_each(|_| player.press(Key::Right));
            player.see(&[": order "]).await;
            player.press(Key::Char('s'));
            player.see(&["order ↑"]).await;
            player.press(Key::Char('s'));
            let descending = memory::text(&player.see_settled(&["order ↓", "▌"]).await);
            let first = descending.lines().find(|line| line.starts_with('▌')).unwrap();
            assert!(first.contains(" 2"), "{first}");
            // What they are sorted by is said where its column is out of sight too.
            player.resize(60, 16);
            (0..4).for_each(|_| player.press(Key::Left));
            player.see(&["3 rows · sorted by order ↓ · column 1"]).await;
            player.resize(80, 24);
            player.see_no("sorted by").await;
            (0..4).for_each(|_| player.press(Key::Right));
            player.see(&[": order "]).await;
            player.press(Key::Char('/'));
            player.type_text("order>=1");
            player.see(&["2 rows"]).await;
            player.type_text("x");
            player.see(&["holds numbers, and \"1x\" is none of them"]).await;
            player.press(Key::Backspace);
            player.press(Key::Enter);
            player.see_settled(&["molecule_fragment · 2 rows · only order>=1"]).await;
            // To the molecule that a row names, and from there to the rows that name it.
            (0..2).for_each(|_| player.press(Key::Left));
            player.see(&[": molecule_id "]).await;
            player.press(Key::Enter);
            player.see(&["[3 Row]", "smiles       ABC", "molecule_fragment.molecule_id  3 rows", "targeted_molecule_id  1 row"]).await;
            (0..5).for_each(|_| player.press(Key::Down));
            player.see(&["▌molecule_fragment.molecule_id"]).await;
            player.press(Key::Enter);
            player.see(&["molecule_fragment · 3 rows · only molecule_id=c053009a"]).await;
            player.press(Key::Backspace);
            player.see(&["[3 Row]", "▌molecule_fragment.molecule_id"]).await;
            player.press(Key::Backspace);
            player.see(&["molecule_fragment · 2 rows · only order>=1"]).await;
            player.press(Key::Backspace);
            player.press(Key::Char('1'));
            player.see(&["[1 Timeline]"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn what_arrives_meanwhile_is_marked_and_moves_nothing(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18", "LIVE #18", "16 rows"]).await;
            (0..4).for_each(|_| player.press(Key::Down));
            let before = memory::text(&player.see_settled(&["▌ #14", "#14 create"]).await);
            let line = |screen: &str| screen.lines().position(|line| line.starts_with('▌'));
            lab.append(vec![create("molecule", id(1), json!({"smiles": "LATE"}))]).await;
            let after = player.see(&["LIVE #19", "▌ #14"]).await;
            assert_eq!(line(&after), line(&before), "{after}");
            player.see(&["↑ 1 new event above"]).await;
            player.press_until(Key::Up, "▌ #19").await;
            player.see_no("new event above").await;
            // Following, the cursor goes to what comes.
            player.press(Key::Char('f'));
            player.see(&["follows new events"]).await;
            lab.append(vec![create("molecule", id(2), json!({"smiles": "LATER"}))]).await;
            player.see(&["LIVE #20", "▌•#20", "20 events · ~16 rows", "#20 create molecule"]).await;
            // So do the rows of a table, under the cursor's; where finding or sorting them is work, that is left to the reader, and said.
            player.press(Key::Char('2'));
            player.see(&["[2 Tables]", "20 events · 18 rows"]).await;
            player.press(Key::Char('/'));
            player.type_text("molecule");
            player.press(Key::Enter);
            player.press(Key::Enter);
            player.see(&["molecule · 4 rows"]).await;
            player.press(Key::End);
            let last = player.see(&["▌  e3dde6c2"]).await;
            lab.append(vec![create("molecule", id(3), json!({"smiles": "LATEST"}))]).await;
            let after = player.see(&["LIVE #21", "molecule · 5 rows", "LATEST", "▌  e3dde6c2"]).await;
            assert_eq!(line(&after), line(&last), "{after}");
            player.press(Key::Char('s'));
            player.see_settled(&["molecule_id ↑"]).await;
            lab.append(vec![create("molecule", id(4), json!({"smiles": "THE LAST"}))]).await;
            let stays = player.see(&["LIVE #22", "molecule · 5 rows · events have come since, r reads anew"]).await;
            assert!(!stays.contains("THE LAST"), "{stays}");
            player.press(Key::Char('r'));
            player.see(&["molecule · 6 rows", "THE LAST"]).await;
            player.see_no("events have come since").await;
            player.press(Key::Char('q'));
            player.see(&["only \"molecule\""]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }
}

/// A server that ends every connection is a lost connection, which is found again by itself; nothing on the screen is lost.
#[test]
fn a_lost_connection_is_found_again() {
    use ebbtide::eventsourcing::store::Backend;
    use sqlx::{Connection, Executor, PgConnection};
    crate::support::run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut other = PgConnection::connect(&lab.argument()).await.unwrap();
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see_settled(&["▌ #18", "LIVE #18", "16 rows"]).await;
            player.press(Key::Down);
            player.see_settled(&["▌ #17", "#17 create"]).await;
            other
                .execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .await
                .unwrap();
            player.see(&["The database is there again.", "▌ #17"]).await;
            other
                .execute("INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('create', 'fragment', gen_random_uuid(), '{\"smiles\": \"NEW\"}')")
                .await
                .unwrap();
            player.see(&["LIVE #19", "▌ #17"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    });
}
