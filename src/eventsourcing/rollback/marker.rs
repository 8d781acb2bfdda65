//! What the `rollback` event of a rollback says: written from its plan, and read again into the history.

use serde_json::json;

use super::{Purpose, RollbackPlan, Strategy};
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::{EventId, Row};
use crate::eventsourcing::history::{Course, Rollback};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::timestamp::{self, Timestamp};

impl RollbackPlan {
    /// The marker's data: `{"before": …}` as in the seed; other keys appear only for `minimal`, for a reason, for
    /// undo and redo, and where less than everything is taken back. `None` when there is nothing to do.
    #[must_use]
    pub fn marker(&self) -> Option<Row> {
        let mut data = Row::new();
        let before = timestamp::format_without_zone(self.before?);
        data.insert("before".to_owned(), before.into());
        if self.strategy() == Strategy::Minimal {
            data.insert("strategy".to_owned(), Strategy::Minimal.as_str().into());
        }
        if let Some(reason) = &self.request.reason {
            data.insert("reason".to_owned(), reason.as_str().into());
        }
        match self.purpose {
            Purpose::Rollback => {}
            Purpose::Undo(id) => drop(data.insert("undoes".to_owned(), id.into())),
            Purpose::Redo(id) => drop(data.insert("redoes".to_owned(), id.into())),
        }
        if let Some(scope) = self.request.scope.name() {
            data.insert("only".to_owned(), scope.into());
        }
        match self.course {
            Course::Back(_) => {}
            Course::Without { first, last, .. } => {
                data.insert("reverts".to_owned(), json!([first, last]));
                if let Some(conflicts) = self.request.conflicts {
                    data.insert("conflicts".to_owned(), conflicts.as_str().into());
                }
            }
            Course::WithoutRollback(_) => drop(data.insert("keeps_later".to_owned(), true.into())),
        }
        if self.request.allow_loss {
            data.insert("allow_loss".to_owned(), true.into());
        }
        Some(data)
    }
}

impl Rollback {
    /// Reads it from its `rollback` event, and from where that event, its end, and the position before its moment stand
    /// in the log.
    ///
    /// # Errors
    /// `Database` when the marker says what no rollback can be: this program never wrote it.
    pub fn from_marker(
        (id, end, position): (EventId, EventId, EventId),
        data: &Row,
        timestamp: Timestamp,
        actor: String,
    ) -> Result<Self> {
        let unknown = |what: &str| {
            let message = format!("rollback #{id} has {what} that ebb does not know");
            Error::new(ErrorCode::Database, message)
        };
        let text = |key: &str| data.get(key).and_then(serde_json::Value::as_str);
        let number = |key: &str| data.get(key).and_then(serde_json::Value::as_i64);
        let strategy = match data.get("strategy") {
            None => Strategy::Replay,
            Some(name) => name
                .as_str()
                .unwrap_or_default()
                .parse()
                .map_err(|_| unknown(&format!("a strategy, {name},")))?,
        };
        let (undoes, redoes) = (number("undoes"), number("redoes"));
        let course = match (data.get("reverts"), data.contains_key("keeps_later")) {
            (Some(ids), _) => {
                let ids: Option<Vec<EventId>> = ids
                    .as_array()
                    .and_then(|ids| ids.iter().map(serde_json::Value::as_i64).collect());
                match ids.as_deref() {
                    Some([first, last]) => Course::Without {
                        first: *first,
                        last: *last,
                        theirs: text("conflicts") == Some("theirs"),
                    },
                    _ => return Err(unknown("events")),
                }
            }
            (None, true) => {
                let rollback = undoes.or(redoes);
                Course::WithoutRollback(rollback.ok_or_else(|| unknown("nothing to undo"))?)
            }
            (None, false) => Course::Back(position),
        };
        Ok(Self {
            id,
            end,
            course,
            scope: text("only").map_or(Scope::Whole, Scope::parse),
            strategy,
            reason: text("reason").map(str::to_owned),
            allow_loss: data.contains_key("allow_loss"),
            undoes,
            redoes,
            timestamp,
            actor,
        })
    }
}
