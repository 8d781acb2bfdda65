//! What a target means: a position, or a transaction that is taken out.

use super::{Conflicts, RollbackRequest, RollbackTarget};
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::{Event, EventId, EventKind};
use crate::eventsourcing::history::{Course, History, Standing};
use crate::eventsourcing::inspect;
use crate::eventsourcing::schema;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::Mention;
use crate::eventsourcing::store::EventStore;
use crate::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use crate::eventsourcing::timestamp::Timestamp;

/// A target, resolved.
pub(super) struct Resolved {
    pub(super) course: Course,
    /// The last event kept.
    pub(super) keeps_through: EventId,
    /// The moment that the marker names; `None` when nothing comes after the target.
    pub(super) before: Option<Timestamp>,
}

/// Finds what a target means in a log that ends at `head`. A run of equal timestamps is never split.
pub(super) async fn resolve(
    store: &dyn EventStore,
    head: EventId,
    history: &History,
    request: &RollbackRequest,
) -> Result<Resolved> {
    let keeps_through = match request.target {
        RollbackTarget::Before(moment) => store.position_before(moment).await?,
        RollbackTarget::BeforeEvent(id) => {
            let event = event(store, head, id).await?;
            store.position_before(event.timestamp).await?
        }
        // Before the first event.
        RollbackTarget::AfterEvent(0) => 0,
        RollbackTarget::AfterEvent(id) => {
            let event = event(store, head, id).await?;
            store.position_through(event.timestamp).await?
        }
        RollbackTarget::Without(id) => {
            let event = event(store, head, id).await?;
            return without(store, head, history, request, &event).await;
        }
    }
    // Events that arrived after the head was read are no part of this plan.
    .min(head);
    let before = match request.target {
        _ if keeps_through == head => None,
        RollbackTarget::Before(moment) => Some(moment),
        _ => Some(next(store, keeps_through).await?.timestamp),
    };
    Ok(Resolved {
        course: Course::Back(keeps_through),
        keeps_through,
        before,
    })
}

/// Everything but the transaction of this event.
async fn without(
    store: &dyn EventStore,
    head: EventId,
    history: &History,
    request: &RollbackRequest,
    event: &Event,
) -> Result<Resolved> {
    let refused = |message: String, hint: &str| {
        Err(Error::new(ErrorCode::NothingToUndo, message).hint(hint.to_owned()))
    };
    let id = event.id;
    if event.kind.is_marker() {
        return refused(
            format!("#{id} is one end of a rollback, which cannot be reverted like an event"),
            "an undo takes back the latest rollback in effect; going back to before an older one takes back all that came since, too",
        );
    }
    match history.standing(head, id, event.row.as_ref()) {
        Standing::Effective => {}
        Standing::UndoneBy(by) => {
            return refused(
                format!("#{id} does not count any more: rollback #{by} has undone it"),
                "there is nothing to revert",
            );
        }
        Standing::BookkeepingOf(by) => {
            return refused(
                format!("#{id} is bookkeeping of rollback #{by}, and undone with it"),
                "an undo takes back the latest rollback in effect; going back to before an older one takes back all that came since, too",
            );
        }
    }
    let (first, last) = store.transaction(event).await?;
    let within = history.rollbacks().iter();
    if let Some(rollback) = within
        .into_iter()
        .find(|one| one.id <= last && one.end >= first)
    {
        return refused(
            format!(
                "the transaction of #{id}, #{first} to #{last}, has rollback #{} in it",
                rollback.id
            ),
            "roll back to before it instead",
        );
    }
    Ok(Resolved {
        course: Course::Without {
            first,
            last,
            theirs: request.conflicts == Some(Conflicts::Theirs),
        },
        keeps_through: head,
        before: Some(event.timestamp),
    })
}

/// The event after this position, which is not the last one. Not always the next id: those of a log that another
/// program wrote may have gaps.
async fn next(store: &dyn EventStore, position: EventId) -> Result<Event> {
    let request = PageRequest {
        filter: Filter::default(),
        from: Some(position),
        until: None,
        direction: Direction::Newer,
        limit: 1,
        detail: Detail::Summary,
    };
    let found = store.page(&request).await?.entries.pop();
    found.map(|entry| entry.event).ok_or_else(|| {
        Error::new(
            ErrorCode::Database,
            format!("the log ends at #{position}, where it went on a moment ago"),
        )
    })
}

async fn event(store: &dyn EventStore, head: EventId, id: EventId) -> Result<Event> {
    let found = match id {
        1.. if id <= head => store.event(id).await?,
        _ => None,
    };
    found.ok_or_else(|| {
        Error::new(
            ErrorCode::UnknownEvent,
            format!("there is no event #{id} in the log"),
        )
        .hint(match head {
            0 => "the log is empty".to_owned(),
            _ => format!("its events are #1 to #{head}"),
        })
    })
}

/// Refuses a scope that names nothing.
pub(super) async fn check_scope(store: &dyn EventStore, scope: &Scope) -> Result<()> {
    let Some(name) = scope.table() else {
        return Ok(());
    };
    let types = store.types().await?;
    if !types.iter().any(|one| one == name) {
        let tables = store.tables().await?;
        if let Some(table) = tables.iter().find(|table| table.name == name) {
            return Err(Error::new(
                ErrorCode::UnknownTable,
                format!(
                    "the log has no event of the table {table}, so there is nothing of it to take back"
                ),
            ));
        }
        if let Some((table, uuid)) = name.rsplit_once('/')
            && types.iter().any(|one| one == table)
        {
            return Err(Error::new(
                ErrorCode::UnknownTable,
                format!("\"{uuid}\" is no uuid, so {name} names no row of {table}"),
            )
            .hint(
                "a row is named by its whole uuid; `ebb log --uuid` finds it by its first digits",
            ));
        }
        let error = inspect::unknown_table(name, &tables);
        return Err(
            match schema::nearest(name, types.iter().map(String::as_str)) {
                Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
                None => error,
            },
        );
    }
    if let Scope::Row(row) = scope
        && store
            .earlier_events(row, EventId::MAX, Mention::Any, 1)
            .await?
            .is_empty()
    {
        return Err(Error::new(
            ErrorCode::RowMissing,
            format!("the log has no event of the row {row}"),
        )
        .hint(format!(
            "`ebb log --type {name}` prints the events of {name}"
        )));
    }
    Ok(())
}

/// Whether an event of this kind changes a row by itself, outside a rollback.
pub(super) fn is_change(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Create | EventKind::Update | EventKind::Delete
    )
}
