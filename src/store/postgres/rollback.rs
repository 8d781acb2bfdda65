//! Having the database carry out a confirmed rollback, and stopping it when asked to.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::PgExecutor;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::append::TRIES;
use super::error::{failed, is_deadlock};
use super::source::OWN;
use super::{log, rows};
use crate::eventsourcing::rollback::{
    ChangeEntry, ConfirmedRollback, Control, RollbackOutcome, RollbackPlan, RowAction, Strategy,
};
use crate::eventsourcing::{Error, ErrorCode, EventId, Result, Row};

/// How soon a word to stop is heard.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// The first version that can grant the right to set a parameter.
const GRANTS_PARAMETERS: i32 = 150_000;

/// The right that a rollback needs and that is lacking, in words.
pub(super) async fn missing_right(pool: &PgPool) -> Result<Option<String>> {
    let (version, role, may_roll_back, owner, is_superuser): (i32, String, bool, String, bool) =
        sqlx::query_as(
            "SELECT current_setting('server_version_num')::int, session_user::text,
                    has_function_privilege(session_user, 'sourcing.may_roll_back()', 'EXECUTE'), r.rolname::text, r.rolsuper
               FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
              WHERE c.oid = 'sourcing.eventstore'::regclass",
        )
        .fetch_one(pool)
        .await
        .map_err(failed)?;
    if !may_roll_back {
        return Ok(Some(format!(
            "the role {role} may not roll back: that takes an operator of the database, or {owner}, who owns the event store"
        )));
    }
    let can_switch_off = match version >= GRANTS_PARAMETERS {
        _ if is_superuser => true,
        true => sqlx::query_scalar(
            "SELECT has_parameter_privilege($1, 'session_replication_role', 'SET')",
        )
        .bind(&owner)
        .fetch_one(pool)
        .await
        .map_err(failed)?,
        false => false,
    };
    Ok((!can_switch_off).then(|| {
        let remedy = match version >= GRANTS_PARAMETERS {
            true => format!(
                "a superuser can give the right: GRANT SET ON PARAMETER session_replication_role TO \"{}\"",
                owner.replace('"', "\"\"")
            ),
            false => "before PostgreSQL 15 only a superuser can own it and roll back".to_owned(),
        };
        format!(
            "{owner}, who owns the event store, may not set session_replication_role, by which a rollback \
             switches the tables' triggers off while it writes; {remedy}"
        )
    }))
}

pub(super) async fn execute(
    pool: &PgPool,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    for _ in 1..TRIES {
        match execute_once(pool, rollback, control).await {
            // What the log has got meanwhile makes the plan stale.
            Err(error) if is_deadlock(&error) => control.check()?,
            done => return done,
        }
    }
    execute_once(pool, rollback, control).await
}

async fn execute_once(
    pool: &PgPool,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    let mut all = pool.begin().await.map_err(failed)?;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *all)
        .await
        .map_err(failed)?;
    let head = stoppable(pool, backend, control, None, take_writer(&mut all)).await?;
    if head != rollback.plan().head {
        return Err(rollback.stale(head));
    }
    // From here on the steps are those of this rollback.
    let before = steps(&mut *all).await?;
    let work = carry_out(&mut all, rollback, control);
    let outcome = stoppable(pool, backend, control, Some(before), work).await?;
    all.commit().await.map_err(failed)?;
    Ok(outcome)
}

/// Waits for its turn to write. Returns the log's head, which stays what it is from then on.
async fn take_writer(all: &mut PgConnection) -> Result<EventId> {
    sqlx::query_scalar("SELECT sourcing.take_writer()")
        .fetch_one(all)
        .await
        .map_err(failed)
}

/// How many steps rollbacks have taken, ever. Other transactions see them at once.
async fn steps(executor: impl PgExecutor<'_>) -> Result<i64> {
    sqlx::query_scalar(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM sourcing.progress",
    )
    .fetch_one(executor)
    .await
    .map_err(failed)
}

/// Waits for the work, and cancels it on the server when asked to: dropping it here would not stop it there. Reports how far it is, from
/// the steps before it on, if they are given.
async fn stoppable<T>(
    pool: &PgPool,
    backend: i32,
    control: &Control,
    before: Option<i64>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::pin!(work);
    let mut listening = tokio::time::interval(STOP_INTERVAL);
    listening.reset();
    let mut cancelled = false;
    loop {
        tokio::select! {
            done = &mut work => {
                return match done {
                    Err(error) if error.code == ErrorCode::Stopped && cancelled => {
                        control.check()?;
                        Err(error)
                    }
                    done => done,
                };
            }
            _ = listening.tick(), if !cancelled => {
                // How far it is, is not worth a failure: the rollback tells its own.
                if let (Some(before), Ok(now)) = (before, steps(pool).await) {
                    let (_, total) = control.progress();
                    control.report((now - before).unsigned_abs().min(total), total);
                }
                if control.is_stopped() {
                    cancelled = true;
                    sqlx::query("SELECT pg_cancel_backend($1)")
                        .bind(backend)
                        .execute(pool)
                        .await
                        .map_err(failed)?;
                }
            }
        }
    }
}

/// Each row is looked at, appended and written; `replay` appends events, and tells nothing of them.
fn total_steps(plan: &RollbackPlan) -> u64 {
    let living = plan.changes.entries();
    let living = living.filter(|row| row.action != RowAction::Remove).count();
    let rows = plan.changes.len();
    let appended = match plan.strategy() {
        Strategy::Minimal => rows,
        Strategy::Replay => 0,
    };
    (rows + appended + living) as u64
}

async fn carry_out(
    all: &mut PgConnection,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    let plan = rollback.plan();
    control.report(0, total_steps(plan));
    let marker: Option<EventId> = sqlx::query_scalar(
        "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', $1) RETURNING id",
    )
    .bind(Json(plan.marker()))
    .fetch_optional(&mut *all)
    .await
    .map_err(failed)?;
    let Some(id) = marker else {
        return Err(mismatch(
            "the database found nothing after the target".to_owned(),
        ));
    };
    compare(all, plan, control).await?;
    let end = log::head(&mut *all).await?;
    let appended = u64::try_from(end - plan.head).unwrap_or_default();
    if let Some(planned) = plan
        .events_to_append()
        .filter(|planned| *planned != appended)
    {
        return Err(mismatch(format!(
            "the rollback appends {appended} events where the plan says {planned}"
        )));
    }
    control.check()?;
    control.report(total_steps(plan), total_steps(plan));
    Ok(RollbackOutcome {
        rollback: Some(id),
        rollback_end: Some(end),
        events_appended: appended,
        keeps_through: plan.keeps_through,
        strategy: plan.strategy(),
    })
}

/// Every row must have become what the plan showed.
async fn compare(all: &mut PgConnection, plan: &RollbackPlan, control: &Control) -> Result<()> {
    let entries: Vec<ChangeEntry<'_>> = plan.changes.entries().collect();
    for (name, places) in plan.changes.by_table() {
        let mut definitions = plan.definitions.iter();
        let Some(table) = definitions.find(|table| table.name == name) else {
            return Err(mismatch(format!("the plan does not tell what {name} is")));
        };
        let uuids: Vec<Uuid> = places.iter().map(|place| entries[*place].uuid).collect();
        let mut awaited: HashMap<Uuid, usize> = uuids.iter().copied().zip(places).collect();
        let compared = |place: usize, found: Option<&Row>| {
            control.check()?;
            let planned = plan.changes.page(place..place + 1)?;
            match planned
                .iter()
                .find_map(|change| change.mismatch(table, found))
            {
                Some(wrong) => Err(mismatch(wrong)),
                None => Ok(()),
            }
        };
        rows::each_stored(&mut *all, &OWN, table, &uuids, |uuid, found| {
            awaited
                .remove(&uuid)
                .map_or(Ok(()), |place| compared(place, Some(&found)))
        })
        .await?;
        // Those that are not there.
        for place in awaited.into_values() {
            compared(place, None)?;
        }
    }
    Ok(())
}

fn mismatch(what: String) -> Error {
    Error::new(ErrorCode::PlanMismatch, what)
        .hint("nothing was written; make the plan again, and report this if it happens twice")
}
