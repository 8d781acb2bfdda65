//! The arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::eventsourcing::rollback::Strategy;
use crate::eventsourcing::{EventId, EventKind};

/// Browse a database in which nothing is overwritten, and take it back in time.
#[derive(Debug, Parser)]
#[command(name = "ebb", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done · 1 failed · 2 wrong usage · 3 refused (blockers, stale plan, not confirmed, \
    read-only) · 4 verify found something.\n\nWithout -d, the database is the one that EBB_DATABASE or DATABASE_URL names. EBB_PERSON adds \
    a person's name to the actor of events.\n\nKeys, colours, the mouse and profiles of databases are chosen in ebb/config.toml in the \
    user's configuration directory (~/.config on Linux), or in the file that EBB_CONFIG names; the README shows one."
)]
pub(super) struct Args {
    /// Opens the screens on this database: a SQLite file, a PostgreSQL URL, or a profile
    #[arg(value_name = "DATABASE")]
    pub(super) place: Option<String>,

    #[command(flatten)]
    pub(super) global: Global,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, ClapArgs)]
pub(super) struct Global {
    /// The database: a SQLite file (lab.db), a PostgreSQL URL (postgres://host/database), or a profile of the configuration file
    #[arg(short, long = "database", value_name = "DATABASE", global = true)]
    pub(super) database: Option<String>,

    /// Lets the database itself refuse every write
    #[arg(long, global = true)]
    pub(super) read_only: bool,

    /// Prints JSON: one object a line for lists, else one object
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Whether the profile says that others depend on the database.
    #[arg(skip)]
    pub(super) production: bool,

    /// Leaves the mouse to the terminal: text is then selected without Shift
    #[arg(long, global = true)]
    pub(super) no_mouse: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the Mad Lab, an example to try everything on, and open it
    Demo(Demo),
    /// Make an event store in a database, or bring an older one up to date
    Init(Init),
    /// Print the events, the latest first
    Log(Log),
    /// Print one event, and its row before and after
    Show {
        /// The event
        id: EventId,
    },
    /// Print the tables, or the rows of one
    Table(Table),
    /// Print every event of one row, and what it changed
    History {
        /// The row's table
        #[arg(value_name = "TYPE")]
        table: String,
        /// The row
        uuid: String,
    },
    /// Print the rows that differ between two positions
    Diff {
        /// An event, which means right after it, or a moment, events of that very moment included; 0 is before the first event
        from: String,
        /// The same; without it, now, as the log has it
        to: Option<String>,
    },
    /// Create a row
    Create {
        /// Its table
        #[arg(value_name = "TYPE")]
        table: String,
        /// Its columns, a JSON object; `-` reads standard input
        #[arg(value_name = "JSON")]
        data: String,
    },
    /// Change columns of a row
    Update {
        /// Its table
        #[arg(value_name = "TYPE")]
        table: String,
        /// The row
        uuid: String,
        /// The columns, a JSON object; `-` reads standard input. An object given for a JSON column that holds one is merged into it, one level
        /// deep
        #[arg(value_name = "JSON")]
        data: String,
    },
    /// Delete a row
    Delete {
        /// Its table
        #[arg(value_name = "TYPE")]
        table: String,
        /// The row
        uuid: String,
    },
    /// Append many events, one JSON object a line, in one transaction
    Append {
        /// The file; `-` reads standard input. A line is {"event": "create", "type": "molecule", "uuid": "…", "data": {…}}; without a
        /// uuid a create is given one
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Take the database back in time
    Rollback(Rollback),
    /// Undo one event, and with it its transaction, and keep what came after
    Revert(Revert),
    /// Undo the latest rollback in effect
    Undo(TakeBack),
    /// Redo what the latest undo in effect took back
    Redo(TakeBack),
    /// Compare the tables with the log, row by row
    Verify(Verify),
    /// Draw a picture of the screens
    #[command(hide = true)]
    Picture(Picture),
}

#[derive(Debug, ClapArgs)]
pub(super) struct Picture {
    /// The SVG file to write
    pub(super) file: PathBuf,
    /// Cells in a line
    #[arg(long, default_value_t = 80)]
    pub(super) columns: u16,
    /// Lines
    #[arg(long, default_value_t = 24)]
    pub(super) rows: u16,
    /// Keys, as the configuration file names them; type:TEXT; await:TEXT, which is on the screen before the next one
    #[arg(value_name = "STEP")]
    pub(super) steps: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Demo {
    /// Where to make it; otherwise in your data directory
    #[arg(long, value_name = "FILE")]
    pub(super) at: Option<PathBuf>,
    /// Makes it anew, whatever was done to it
    #[arg(long)]
    pub(super) fresh: bool,
    /// Prints its timeline instead of opening the screens
    #[arg(long)]
    pub(super) no_tui: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Init {
    /// SQL that makes the tables, run after the event store is there, all or nothing
    #[arg(long, value_name = "FILE.sql")]
    pub(super) schema: Option<PathBuf>,
    /// Appends events for the rows that are not what the log says, such as those that were there before it, so that they can be taken back
    #[arg(long)]
    pub(super) record_differences: bool,
    /// Does not ask
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, Default, ClapArgs)]
pub(super) struct Log {
    /// Events of this table
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) table: Option<String>,
    /// Events of this kind: create, update, delete, rollback, rollback-end, restore
    #[arg(long = "event", value_name = "KIND")]
    pub(super) kind: Option<EventKind>,
    /// Events of the row with this uuid, or whose uuid begins so
    #[arg(long, value_name = "UUID")]
    pub(super) uuid: Option<String>,
    /// Events of actors whose name contains this; with a `=` before it, of exactly this one
    #[arg(long)]
    pub(super) actor: Option<String>,
    /// Events at this moment or later
    #[arg(long, value_name = "TIMESTAMP")]
    pub(super) since: Option<String>,
    /// Events at this moment or earlier
    #[arg(long, value_name = "TIMESTAMP")]
    pub(super) until: Option<String>,
    /// Events whose data contains this text
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// The first event first
    #[arg(long)]
    pub(super) oldest_first: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Table {
    /// The table; without it, the tables and their row counts
    #[arg(value_name = "TYPE")]
    pub(super) table: Option<String>,
    /// As it was right after this event
    #[arg(long, value_name = "ID", conflicts_with = "at", requires = "table")]
    pub(super) at_event: Option<EventId>,
    /// As it was at this moment, events of that very moment included
    #[arg(long, value_name = "TIMESTAMP", requires = "table")]
    pub(super) at: Option<String>,
    /// Only rows that meet this: a column, one of = != < <= > >= ~ (contains, whatever the case), and a value; without a value, = and != ask whether there is one, and \"\" is an empty text.
    /// Given several times, rows that meet all
    #[arg(
        long = "where",
        value_name = "CONDITION",
        requires = "table",
        allow_hyphen_values = true
    )]
    pub(super) conditions: Vec<String>,
    /// In the order of this column; with a minus before it, descending
    #[arg(
        long,
        value_name = "[-]COLUMN",
        requires = "table",
        allow_hyphen_values = true
    )]
    pub(super) sort: Option<String>,
    /// At most this many rows
    #[arg(long, value_name = "N", requires = "table")]
    pub(super) limit: Option<usize>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Rollback {
    #[command(flatten)]
    pub(super) target: Target,
    /// Takes back one table, or one row, and leaves everything else
    #[arg(long, value_name = "TYPE[/UUID]")]
    pub(super) only: Option<String>,
    /// How to write it: minimal appends only what differs, replay repeats the whole history
    #[arg(long, value_name = "minimal|replay", default_value = "minimal")]
    pub(super) strategy: Strategy,
    /// Leaves values in the log alone that have no place in the tables any more
    #[arg(long)]
    pub(super) allow_loss: bool,
    #[command(flatten)]
    pub(super) confirm: Confirm,
    /// Why, for those who read the log later
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Revert {
    /// The event
    pub(super) id: EventId,
    /// Where a later event has set the same column: keeps what it is now
    #[arg(long, conflicts_with = "theirs")]
    pub(super) ours: bool,
    /// Where a later event has set the same column: takes what it was before
    #[arg(long)]
    pub(super) theirs: bool,
    /// Leaves values in the log alone that have no place in the tables any more
    #[arg(long)]
    pub(super) allow_loss: bool,
    #[command(flatten)]
    pub(super) confirm: Confirm,
    /// Why, for those who read the log later
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// Keeps what is earlier than this moment
    #[arg(long, value_name = "TIMESTAMP")]
    pub(super) before: Option<String>,
    /// Undoes this event and all after it, with the other events of its transaction
    #[arg(long, value_name = "ID")]
    pub(super) before_event: Option<EventId>,
    /// Keeps this event and all before it, with the other events of its transaction
    #[arg(long, value_name = "ID")]
    pub(super) after_event: Option<EventId>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Confirm {
    /// Prints the plan and writes nothing
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Does not ask
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TakeBack {
    /// Says yes to undoing, with it, the work done since
    #[arg(long)]
    pub(super) with_later: bool,
    /// Leaves values in the log alone that have no place in the tables any more
    #[arg(long)]
    pub(super) allow_loss: bool,
    #[command(flatten)]
    pub(super) confirm: Confirm,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Verify {
    /// Compares the fold of the log with each table, row by row (what is done without it too)
    #[arg(long)]
    pub(super) drift: bool,
}
