//! Rows that stand in a table and not in the log: older than it, or written behind its back.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::verify::{self, FindingKind};
use serde_json::json;
use uuid::Uuid;

use super::schema;
use crate::support::{Database, create, delete, id, on_each, update};

impl Database {
    /// Puts a row into `sample` that no event says.
    async fn slip_in(&self, uuid: Uuid, name: &str) {
        self.sql(&format!(
            "INSERT INTO sample (sample_id, created_on, updated_on, name) VALUES ('{uuid}', '2020-01-01', '2020-01-01', '{name}')"
        ))
        .await
        .unwrap();
    }

    /// The rows that the log does not know.
    async fn unknown(&self) -> Vec<Uuid> {
        let report = verify::drift(&*self.store).await.unwrap();
        let kinds: Vec<_> = report.findings.iter().map(|found| found.kind).collect();
        assert_eq!(kinds, vec![FindingKind::ExtraRow; kinds.len()]);
        report.findings.iter().map(|found| found.row.uuid).collect()
    }
}

on_each! {
    async fn a_rollback_leaves_a_row_that_the_log_does_not_know(backend) {
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "known"}))]).await;
            lab.slip_in(id(2), "changed by an event").await;
            lab.slip_in(id(3), "deleted by an event").await;
            lab.append(vec![update("sample", id(2), json!({"mass": 8}))]).await;
            lab.append(vec![delete("sample", id(3))]).await;
            lab.append(vec![create("sample", id(4), json!({"name": "late"}))]).await;
            let (known, unknown) = (lab.row("sample", id(1)).await, lab.row("sample", id(2)).await);
            let all = lab.rows().await;
            assert_eq!(lab.unknown().await, [id(2)]);
            // Before its events, and between them.
            for kept in [1, 2, 3] {
                lab.roll_back(RollbackTarget::AfterEvent(kept), strategy).await.unwrap();
                assert_eq!(lab.row("sample", id(1)).await, known, "after #{kept}, by {strategy}");
                assert_eq!(lab.row("sample", id(2)).await, unknown, "after #{kept}, by {strategy}");
                assert_eq!(lab.rows().await.len(), 2, "after #{kept}, by {strategy}");
                assert_eq!(lab.unknown().await, [id(2)], "after #{kept}, by {strategy}");
                lab.undo(false).await.unwrap();
                assert_eq!(lab.rows().await, all, "undone");
            }
        }
    }

    async fn a_rollback_leaves_a_row_that_came_back_behind_the_logs_back(backend) {
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "gone"}))]).await;
            lab.append(vec![delete("sample", id(1))]).await;
            lab.append(vec![create("sample", id(2), json!({"name": "late"}))]).await;
            lab.slip_in(id(1), "back").await;
            lab.roll_back(RollbackTarget::AfterEvent(2), strategy).await.unwrap();
            assert_eq!(lab.unknown().await, [id(1)], "by {strategy}");
            assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "back", "by {strategy}");
            assert_eq!(lab.row("sample", id(2)).await, None, "by {strategy}");
        }
    }
}
