//! The Mad Lab's story and its replay, row for row, against the files of the project's founding document.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::{Event, value};
use serde_json::Value;

use crate::support::{Database, moment, on_both};

const STORY: &str = include_str!("../../assets/mad-lab/story.jsonl");
const REPLAY: &str = include_str!("../data/replay.jsonl");

/// An event of the log is the one in the file: id, kind, table, row and data.
fn assert_same(event: &Event, line: &str) {
    let expected: Value = serde_json::from_str(line).unwrap();
    let found = event.to_json(None);
    for name in ["id", "event", "type", "uuid", "data"] {
        assert!(
            value::same(&found[name], &expected[name]),
            "#{}: {name} is {}, not {}",
            event.id,
            found[name],
            expected[name]
        );
    }
}

on_both! {
    async fn the_story_is_told_as_it_is_written(backend) {
        let lab = Database::mad_lab(backend).await;
        let log = lab.log().await;
        assert_eq!(log.len(), 18);
        for (event, line) in log.iter().zip(STORY.lines()) {
            assert_same(event, line);
            let expected: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event.to_json(None)["timestamp"], expected["timestamp"]);
        }
        assert_eq!(lab.rows().await.len(), 16);
        lab.assert_no_drift().await;
    }

    async fn its_replay_is_the_founding_documents(backend) {
        let lab = Database::mad_lab(backend).await;
        let target = RollbackTarget::Before(moment("2020-02-17T03:09:59.145749"));
        let outcome = lab.roll_back(target, Strategy::Replay).await.unwrap();
        assert_eq!((outcome.rollback, outcome.rollback_end), (Some(19), Some(50)));
        let log = lab.log().await;
        assert_eq!(log.len(), 50);
        for (event, line) in log[18..].iter().zip(REPLAY.lines()) {
            assert_same(event, line);
            assert_eq!(event.timestamp, log[18].timestamp);
        }
        assert_eq!(lab.rows().await.len(), 12);
        lab.assert_no_drift().await;
    }
}
