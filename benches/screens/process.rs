//! What the operating system knows of a process.

use std::fs;
use std::time::Duration;

use crate::common::Outcome;

/// The kernel's unit of processor time in `/proc`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory, in KiB.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// What no file backs: the heap, the stacks.
    pub(crate) anonymous: u64,
    pub(crate) threads: u64,
}

/// The processor time that it has taken.
pub(crate) fn processor_time(process: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may have spaces in it. The fields after it are numbered from 3; 14 and 15 are utime and stime.
    let (_, fields) = stat.rsplit_once(") ").ok_or("unknown form of stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |field: usize| fields[field - 3].parse::<u32>();
    Ok(TICK * (ticks(14)? + ticks(15)?))
}

pub(crate) fn memory(process: u32) -> Outcome<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| -> Outcome<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
        Ok(number
            .ok_or_else(|| format!("no {name} in status"))?
            .parse()?)
    };
    Ok(Memory {
        resident: field("VmRSS")?,
        anonymous: field("RssAnon")?,
        threads: field("Threads")?,
    })
}
