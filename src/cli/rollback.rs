//! `ebb rollback`, `undo`, `redo`: the plan, the question, the outcome.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::args::{Confirm, Revert, Rollback, TakeBack, Target};
use super::output::Output;
use super::{End, check_writable, confirm, parse, show, waiting};
use crate::eventsourcing::rollback::{
    self, Choice, Conflicts, Control, Purpose, RollbackOutcome, RollbackPlan, RollbackRequest,
    RollbackTarget,
};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result};
use crate::text;

/// Rows that are printed at once.
const ROWS_AT_ONCE: usize = 500;

/// How often the progress is printed anew.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn rollback(
    store: &dyn EventStore,
    args: Rollback,
    output: &Output,
) -> Result<End> {
    let request = RollbackRequest {
        scope: args.only.as_deref().map_or(Scope::Whole, Scope::parse),
        strategy: args.strategy,
        reason: args.reason,
        allow_loss: args.allow_loss,
        ..RollbackRequest::to(target(&args.target)?)
    };
    decide(store, Asked::For(request), &args.confirm, false, output).await
}

pub(super) async fn revert(store: &dyn EventStore, args: Revert, output: &Output) -> Result<End> {
    let request = RollbackRequest {
        reason: args.reason,
        allow_loss: args.allow_loss,
        conflicts: match (args.ours, args.theirs) {
            (true, _) => Some(Conflicts::Ours),
            (_, true) => Some(Conflicts::Theirs),
            _ => None,
        },
        ..RollbackRequest::to(RollbackTarget::Without(args.id))
    };
    decide(store, Asked::For(request), &args.confirm, false, output).await
}

pub(super) async fn undo(store: &dyn EventStore, args: TakeBack, output: &Output) -> Result<End> {
    let asked = Asked::Undo(args.allow_loss);
    decide(store, asked, &args.confirm, args.with_later, output).await
}

pub(super) async fn redo(store: &dyn EventStore, args: TakeBack, output: &Output) -> Result<End> {
    let asked = Asked::Redo(args.allow_loss);
    decide(store, asked, &args.confirm, args.with_later, output).await
}

/// What is to be planned; of the last two, whether values may be left in the log alone.
enum Asked {
    For(RollbackRequest),
    Undo(bool),
    Redo(bool),
}

impl Asked {
    async fn plan(&self, store: &dyn EventStore) -> Result<RollbackPlan> {
        match self {
            Self::For(request) => rollback::plan(store, request.clone()).await,
            Self::Undo(allow_loss) => rollback::plan_undo(store, None, *allow_loss).await,
            Self::Redo(allow_loss) => rollback::plan_redo(store, None, *allow_loss).await,
        }
    }
}

/// Refuses to write where nothing can be written, before there is a plan: one that is only to be shown always can be.
fn check_may_write(store: &dyn EventStore, confirm: &Confirm) -> Result<()> {
    match confirm.dry_run {
        true => Ok(()),
        false => check_writable(store),
    }
}

fn target(target: &Target) -> Result<RollbackTarget> {
    match (&target.before, target.before_event, target.after_event) {
        (Some(text), ..) => parse::timestamp(text).map(RollbackTarget::Before),
        (None, Some(id), _) => Ok(RollbackTarget::BeforeEvent(id)),
        (None, None, Some(id)) => Ok(RollbackTarget::AfterEvent(id)),
        (None, None, None) => Err(Error::new(
            ErrorCode::Usage,
            "a rollback needs a target: --before, --before-event or --after-event",
        )),
    }
}

/// Plans, asks and writes. Where the log has moved on meanwhile, the person sees a new plan, and is asked again.
async fn decide(
    store: &dyn EventStore,
    asked: Asked,
    confirmation: &Confirm,
    with_later: bool,
    output: &Output,
) -> Result<End> {
    check_may_write(store, confirmation)?;
    let mut plan = with_authors(store, asked.plan(store).await?).await?;
    if confirmation.dry_run {
        match output.is_json() {
            true => output.object(&plan)?,
            false => print(&plan, store, &|line| output.line(line), output)?,
        }
        return Ok(match plan.blockers.is_empty() {
            true => End::Done,
            false => End::Blocked,
        });
    }
    loop {
        match output.is_json() {
            // Standard output is for the outcome alone.
            true => print(&plan, store, &|line| output.note(line), output)?,
            false => print(&plan, store, &|line| output.line(line), output)?,
        }
        let (name, whole, purpose) = (
            store.info().name.clone(),
            plan.takes_back_everything() && plan.losses.is_empty(),
            plan.purpose,
        );
        if !plan.is_empty() && plan.blockers.is_empty() && !confirmation.yes {
            confirm::confirm(&format!("Write this to {name}?"))?;
        }
        let confirmed = plan.confirm(with_later)?;
        let stale = match waiting::told(store, output, carry_out(store, &confirmed)).await {
            Err(error) if error.code == ErrorCode::Stale && !confirmation.yes => error,
            done => {
                let outcome = done?;
                match output.is_json() {
                    true => output.object(&outcome.to_json())?,
                    false => print_outcome(&outcome, whole, purpose, output)?,
                }
                return Ok(End::Done);
            }
        };
        output.note(&text::visible(&format!(
            "Nothing was written: {}.",
            stale.message
        )))?;
        plan = with_authors(store, asked.plan(store).await?).await?;
    }
}

/// The same plan, with who made what it undoes.
async fn with_authors(store: &dyn EventStore, plan: RollbackPlan) -> Result<RollbackPlan> {
    let authors = rollback::count_authors(store, &plan.undone).await?;
    Ok(RollbackPlan {
        authors: Some(authors),
        ..plan
    })
}

/// The plan in words.
fn print(
    plan: &RollbackPlan,
    store: &dyn EventStore,
    line: &dyn Fn(&str) -> Result<()>,
    output: &Output,
) -> Result<()> {
    for sentence in plan.sentences(&store.info().name) {
        line(&text::visible(&sentence))?;
    }
    for blocker in &plan.blockers {
        let flags = match blocker.choice() {
            Some(Choice::Conflicts) => " (--ours, --theirs)",
            Some(Choice::Loss) => " (--allow-loss)",
            None => "",
        };
        line(&text::visible(&format!(
            "In the way: {}{flags}",
            blocker.message
        )))?;
    }
    for counts in &plan.tables {
        line(&text::visible(&format!(
            "  {}: {} removed, {} brought back, {} changed",
            counts.table, counts.removed, counts.brought_back, counts.changed
        )))?;
    }
    if output.is_json() {
        return Ok(());
    }
    for lot in plan.changes.lots(0..plan.changes.len(), ROWS_AT_ONCE) {
        for change in lot? {
            let action = match change.action {
                rollback::RowAction::Remove => "- remove",
                rollback::RowAction::BringBack => "+ bring back",
                rollback::RowAction::Change => "~ change",
            };
            show::print_row(action, &change.key, &change.columns, output)?;
        }
    }
    Ok(())
}

/// Executes it; Ctrl-C asks it to stop, and its outcome is still waited for.
async fn carry_out(
    store: &dyn EventStore,
    confirmed: &rollback::ConfirmedRollback,
) -> Result<RollbackOutcome> {
    let control = Control::default();
    let working = rollback::execute(store, confirmed, &control);
    tokio::pin!(working);
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    let mut shown = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut working => break outcome,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| {
                    Error::new(ErrorCode::Io, format!("Ctrl-C could not be listened to: {error}"))
                })?;
                control.stop();
            }
            _ = ticks.tick() => {
                let (done, total) = control.progress();
                if total > 0 && io::stderr().is_terminal() && io::stdout().is_terminal() {
                    shown = true;
                    eprint!("\r{:>3} % ", done * 100 / total);
                }
            }
        }
    };
    if shown {
        eprint!("\r      \r");
    }
    outcome
}

fn print_outcome(
    outcome: &RollbackOutcome,
    whole: bool,
    purpose: Purpose,
    output: &Output,
) -> Result<()> {
    let back = match purpose {
        Purpose::Rollback | Purpose::Redo(_) => "undo",
        Purpose::Undo(_) => "redo",
    };
    match (outcome.rollback, outcome.rollback_end) {
        (Some(first), Some(last)) => {
            let equal = match whole {
                true => format!("; the tables equal #{}", outcome.keeps_through),
                false => String::new(),
            };
            output.line(&format!(
                "Done: events #{first} to #{last} appended{equal}. `ebb {back}` takes it back."
            ))
        }
        _ => output.line("Nothing was appended."),
    }
}
