//! Switching triggers off for one connection: SQLite has no SQL for it.

use libsqlite3_sys::{SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_OK, sqlite3_db_config};
use sqlx::SqliteConnection;

use super::error::failed;
use crate::eventsourcing::{Error, ErrorCode, Result};

/// Switches triggers off on this connection, which nothing else may use afterwards.
#[allow(
    unsafe_code,
    reason = "sqlx has no word for this setting of SQLite's C interface"
)]
pub(super) async fn switch_off(connection: &mut SqliteConnection) -> Result<()> {
    let mut handle = connection.lock_handle().await.map_err(failed)?;
    let mut enabled: std::ffi::c_int = 1;
    // SAFETY: the handle is locked, so it is open and no other thread uses it during the call. This operation takes an
    // int and the address of an int, which outlives the call.
    let code = unsafe {
        sqlite3_db_config(
            handle.as_raw_handle().as_ptr(),
            SQLITE_DBCONFIG_ENABLE_TRIGGER,
            0 as std::ffi::c_int,
            &raw mut enabled,
        )
    };
    if code != SQLITE_OK || enabled != 0 {
        return Err(Error::new(
            ErrorCode::Database,
            format!("SQLite did not switch the tables' triggers off (code {code})"),
        ));
    }
    Ok(())
}
