//! How the C library keeps memory.

/// Lets all threads share one arena of the GNU C library. By itself it gives each thread one of its own, and what one has freed is of no use to the others:
/// after an hour of looking around that was a third of the program's memory. The threads here mostly wait for the database, and seldom for each other.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(
    unsafe_code,
    reason = "this setting of the C library has no safe interface"
)]
pub(super) fn share_one_arena() {
    // SAFETY: no thread has been started yet, and the call takes two numbers. Where the library does not know the setting it says so, and nothing has changed.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Other C libraries have no arenas of threads.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn share_one_arena() {}
