//! Where the reading statements find the log and the tables: one text of each statement serves an event store of
//! ebb's own and one that an earlier program made.

use std::borrow::Cow;

/// What stands in FROM for the log and for the list of tables. Only text of this program is ever in it: the statements
/// that it is put into are sent as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Rows with the columns of `sourcing.eventstore`, the hash aside.
    pub(super) log: Cow<'static, str>,
    /// Rows with the columns of `sourcing.tables`.
    pub(super) tables: Cow<'static, str>,
    /// What finds in those, named `t`, the table whose name is `$1`.
    pub(super) named: &'static str,
    /// What gives the oid of the table whose name is `$1`.
    pub(super) relation: Cow<'static, str>,
    /// What gives, for a table `t` of those, the SQL expression of a row's state: its columns as `jsonb`, of a row called `t`.
    pub(super) state: &'static str,
    /// The same of a row that has only the column whose name is `$2`.
    pub(super) state_of: &'static str,
}

/// An event store of ebb's own.
pub(super) const OWN: Source = Source {
    log: Cow::Borrowed("sourcing.eventstore"),
    tables: Cow::Borrowed("sourcing.tables"),
    named: "t.relation = sourcing.find($1)",
    relation: Cow::Borrowed("SELECT sourcing.find($1)"),
    state: "sourcing.state(t.relation)",
    state_of: "sourcing.state_of(t.relation, $2)",
};
