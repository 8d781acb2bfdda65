//! Drift: what was done behind the log's back is found, and nothing where there is nothing (§7).

use ebbtide::eventsourcing::verify::{self, FindingKind};
use serde_json::json;

use super::schema;
use crate::support::{Database, create, delete, id, on_each};

on_each! {
    async fn what_was_done_behind_the_logs_back_is_found(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![
            create("sample", id(1), json!({"name": "changed"})),
            create("sample", id(2), json!({"name": "removed"})),
            create("sample", id(3), json!({"name": "deleted"})),
            create("sample", id(4), json!({"name": "untouched"})),
        ]).await;
        lab.append(vec![delete("sample", id(3))]).await;
        let clean = verify::drift(&*lab.store).await.unwrap();
        assert_eq!((clean.events, clean.rows, clean.findings.len()), (5, 3, 0));

        lab.sql(&format!("UPDATE sample SET mass = 99 WHERE sample_id = '{}'", id(1))).await.unwrap();
        lab.sql(&format!("DELETE FROM sample WHERE sample_id = '{}'", id(2))).await.unwrap();
        for n in [3, 5] {
            lab.sql(&format!(
                "INSERT INTO sample (sample_id, created_on, updated_on, name) VALUES ('{}', '2020-01-01', '2020-01-01', 'added {n}')",
                id(n)
            )).await.unwrap();
        }
        let report = verify::drift(&*lab.store).await.unwrap();
        let found: Vec<_> = report.findings.iter()
            .map(|finding| (finding.kind, finding.row.uuid, finding.column.as_deref(), finding.event)).collect();
        assert_eq!(found, [
            (FindingKind::ChangedRow, id(1), Some("mass"), Some(1)),
            (FindingKind::MissingRow, id(2), None, Some(2)),
            (FindingKind::ExtraRow, id(3), None, Some(5)),
            (FindingKind::ExtraRow, id(5), None, None),
        ]);
        assert_eq!((&report.findings[0].expected, &report.findings[0].found), (&json!(7), &json!(99)));
    }

    async fn a_change_of_the_schema_is_no_drift(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a", "info": {"x": 1}}))]).await;
        lab.sql("ALTER TABLE sample DROP COLUMN info").await.unwrap();
        lab.sql("ALTER TABLE sample ADD COLUMN remark TEXT").await.unwrap();
        lab.assert_no_drift().await;
    }
}
