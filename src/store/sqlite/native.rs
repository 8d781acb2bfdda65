//! What SQLite offers only in its C interface, and has no SQL for.

use std::ffi::c_int;

use libsqlite3_sys::{
    SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBSTATUS_DEFERRED_FKS, SQLITE_OK, sqlite3_db_config,
    sqlite3_db_status,
};
use sqlx::SqliteConnection;

use super::error::failed;
use crate::eventsourcing::{Error, ErrorCode, Result};

/// Switches triggers off on this connection, which nothing else may use afterwards.
#[allow(
    unsafe_code,
    reason = "sqlx has no word for this setting of SQLite's C interface"
)]
pub(super) async fn switch_triggers_off(connection: &mut SqliteConnection) -> Result<()> {
    let mut handle = connection.lock_handle().await.map_err(failed)?;
    let mut enabled: c_int = 1;
    // SAFETY: the handle is locked, so it is open and no other thread uses it during the call. This operation takes an
    // int and the address of an int, which outlives the call.
    let code = unsafe {
        sqlite3_db_config(
            handle.as_raw_handle().as_ptr(),
            SQLITE_DBCONFIG_ENABLE_TRIGGER,
            0 as c_int,
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

/// Whether a deferred foreign key is violated as the open transaction stands, so that its commit would fail.
#[allow(
    unsafe_code,
    reason = "sqlx has no word for this question of SQLite's C interface"
)]
pub(super) async fn has_dangling_keys(connection: &mut SqliteConnection) -> Result<bool> {
    let mut handle = connection.lock_handle().await.map_err(failed)?;
    let (mut dangling, mut highest): (c_int, c_int) = (0, 0);
    // SAFETY: the handle is locked, so it is open and no other thread uses it during the call. Both addresses are of
    // ints that outlive the call.
    let code = unsafe {
        sqlite3_db_status(
            handle.as_raw_handle().as_ptr(),
            SQLITE_DBSTATUS_DEFERRED_FKS,
            &raw mut dangling,
            &raw mut highest,
            0,
        )
    };
    if code != SQLITE_OK {
        return Err(Error::new(
            ErrorCode::Database,
            format!("SQLite did not tell whether foreign keys are violated (code {code})"),
        ));
    }
    Ok(dangling != 0)
}
