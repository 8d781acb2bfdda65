//! Exit codes: one place.

use std::process::ExitCode;

use super::End;
use super::output::Output;
use crate::eventsourcing::{ErrorCode, Result};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const REFUSED: u8 = 3;
const FOUND: u8 = 4;

/// The code of a command's end; a failure is printed first.
pub(super) fn after(result: Result<End>, output: &Output) -> ExitCode {
    match result {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Found) => ExitCode::from(FOUND),
        Ok(End::Blocked) => ExitCode::from(REFUSED),
        // Whoever read our output has had enough of it: that is no failure.
        Err(_) if output.is_closed() => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(code(error.code))
        }
    }
}

fn code(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Usage => WRONG_USAGE,
        ErrorCode::Blocked
        | ErrorCode::Stale
        | ErrorCode::NotConfirmed
        | ErrorCode::LaterWork
        | ErrorCode::NotEmpty
        | ErrorCode::ReadOnly => REFUSED,
        _ => FAILED,
    }
}
