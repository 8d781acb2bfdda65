//! What a page of the log asks for, in the SQL that both databases know.

use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::eventsourcing::timeline::{Direction, PageRequest};

/// Which events `e` a page has beside those that its filter shows, in their order; and one more, which tells whether there is more.
pub(super) fn push_page<DB: Database>(query: &mut QueryBuilder<DB>, request: &PageRequest)
where
    i64: for<'t> Encode<'t, DB> + Type<DB>,
{
    let older = request.direction == Direction::Older;
    if let Some(from) = request.from {
        query.push(if older {
            " AND e.id < "
        } else {
            " AND e.id > "
        });
        query.push_bind(from);
    }
    if let Some(until) = request.until {
        query.push(if older {
            " AND e.id >= "
        } else {
            " AND e.id <= "
        });
        query.push_bind(until);
    }
    // One more than asked for tells whether there is more.
    let limit = i64::try_from(request.limit)
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    query.push(if older {
        " ORDER BY e.id DESC LIMIT "
    } else {
        " ORDER BY e.id LIMIT "
    });
    query.push_bind(limit);
}
