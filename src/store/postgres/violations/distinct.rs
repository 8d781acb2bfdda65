//! Rows that a unique index or an exclusion constraint would not have beside each other.

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use super::{Staged, failed_to_mean, quoted};
use crate::eventsourcing::Result;
use crate::eventsourcing::store::{Violated, Violation};
use crate::store::postgres::error::failed;

/// A unique index or an exclusion constraint.
#[derive(FromRow)]
struct Distinct {
    name: String,
    excludes: bool,
    condition: Option<String>,
    /// What it is on.
    expressions: Vec<String>,
    /// The operators by which two rows are taken for the same there, schema included.
    operators: Vec<String>,
    nulls_are_same: bool,
}

const DISTINCT: &str = "
    SELECT i.indexrelid::regclass::text AS name, coalesce(con.contype = 'x', false) AS excludes, pg_get_expr(i.indpred, i.indrelid) AS condition,
           array_agg(pg_get_indexdef(i.indexrelid, place.n, false) ORDER BY place.n) AS expressions,
           array_agg(format('OPERATOR(%I.%s)', ns.nspname, op.oprname) ORDER BY place.n) AS operators,
           coalesce(to_jsonb(i) -> 'indnullsnotdistinct' = 'true', false) AS nulls_are_same
      FROM pg_index i
      LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.contype IN ('u', 'x') AND con.conrelid = i.indrelid
     CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS place(n)
      JOIN pg_opclass class ON class.oid = i.indclass[place.n - 1]
      LEFT JOIN pg_amop equal ON equal.amopfamily = class.opcfamily AND equal.amopstrategy = 3
       AND equal.amoplefttype = class.opcintype AND equal.amoprighttype = class.opcintype
      JOIN pg_operator op ON op.oid = CASE WHEN con.contype = 'x' THEN con.conexclop[place.n] ELSE equal.amopopr END
      JOIN pg_namespace ns ON ns.oid = op.oprnamespace
     WHERE i.indrelid = $1 AND NOT i.indisprimary AND (i.indisunique OR con.contype = 'x')
     GROUP BY i.indexrelid, con.contype, i.indpred, i.indrelid, i.*
     ORDER BY 1";

pub(super) async fn distinct(
    connection: &mut PgConnection,
    table: &Staged,
    living: &[Box<RawValue>],
    touched: &[Uuid],
) -> Result<Vec<Violation>> {
    let constraints: Vec<Distinct> = sqlx::query_as(DISTINCT)
        .bind(table.relation)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut found = Vec::new();
    for one in constraints {
        let key = quoted(&table.key);
        let columns: Vec<String> = one
            .expressions
            .iter()
            .enumerate()
            .map(|(at, expression)| format!("{expression} AS c{at}"))
            .collect();
        let same: Vec<String> = one
            .operators
            .iter()
            .enumerate()
            .map(|(at, operator)| {
                let equal = format!("a.c{at} {operator} b.c{at}");
                match one.nulls_are_same {
                    true => format!("({equal} OR a.c{at} IS NULL AND b.c{at} IS NULL)"),
                    false => equal,
                }
            })
            .collect();
        let condition = one.condition.as_deref().unwrap_or("true");
        let (columns, same) = (columns.join(", "), same.join(" AND "));
        let query = format!(
            "WITH a AS (SELECT {key} AS row_key, {columns} FROM {rows} WHERE {condition})
             SELECT x.one, x.other, x.stays, count(*) OVER () FROM (
                 SELECT a.row_key AS one, b.row_key AS other, false AS stays FROM a JOIN a AS b ON {same} AND a.row_key < b.row_key
                 UNION ALL
                 SELECT a.row_key, b.row_key, true FROM a
                   JOIN (SELECT {key} AS row_key, {columns} FROM {stored} AS {plain} WHERE {condition}
                            AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS w(key) WHERE w.key = {plain}.{key})) AS b ON {same}) AS x
              ORDER BY x.stays DESC LIMIT 1",
            rows = table.rows(1, &table.plain),
            stored = table.quoted,
            plain = table.plain,
        );
        let violating: sqlx::Result<Option<(Uuid, Uuid, bool, i64)>> =
            sqlx::query_as(AssertSqlSafe(query))
                .bind(Json(living))
                .bind(touched)
                .fetch_optional(&mut *connection)
                .await;
        match violating {
            Ok(None) => {}
            Ok(Some((row, other, stays, rows))) => {
                let (kind, same) = match one.excludes {
                    true => (Violated::Exclusion, "excludes it"),
                    false => (Violated::Unique, "has the same value"),
                };
                let which = if stays { ", which stays," } else { " then" };
                let words = format!(
                    "{} {other}{which} {same} ({}: {})",
                    table.name,
                    one.name,
                    one.expressions.join(", ")
                );
                found.push(table.violation(kind, &one.name, row, rows, words));
            }
            Err(error) if failed_to_mean(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(found)
}
