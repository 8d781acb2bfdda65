//! The lines of the table.

use std::time::Duration;

use crate::process::Memory;

/// The table's first lines.
pub(crate) fn heading() {
    println!("| what | variant | median (least–most) | 95th | 99th percentile |");
    println!("|---|---|---|---|---|");
}

/// Numbers that belong together, sorted. There is at least one.
fn line(what: &str, variant: &str, mut numbers: Vec<f64>, unit: &str, digits: usize) {
    numbers.sort_by(f64::total_cmp);
    let count = numbers.len();
    // The smallest number that so many in a hundred do not exceed.
    let percentile = |hundredths: usize| numbers[(count * hundredths).div_ceil(100).max(1) - 1];
    // Of a few numbers the most says it.
    let tail = |hundredths| match count >= 100 {
        true => format!("{:.digits$}", percentile(hundredths)),
        false => String::new(),
    };
    println!(
        "| {what} | {variant} | {:.digits$} ({:.digits$}–{:.digits$}) {unit} | {} | {} |",
        percentile(50),
        numbers[0],
        numbers[count - 1],
        tail(95),
        tail(99),
    );
}

pub(crate) fn times(what: &str, variant: &str, times: impl Iterator<Item = Duration>) {
    let milliseconds = times.map(|time| time.as_secs_f64() * 1e3).collect();
    line(what, variant, milliseconds, "ms", 2);
}

pub(crate) fn bytes(what: &str, variant: &str, bytes: impl Iterator<Item = usize>) {
    let numbers = bytes.map(|bytes| bytes as f64).collect();
    line(what, variant, numbers, "bytes", 0);
}

pub(crate) fn memory(what: &str, variant: &str, memory: &Memory) {
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    println!(
        "| {what} | {variant} | {:.1} MiB, {:.1} of it not of files; {} threads | | |",
        mebibytes(memory.resident),
        mebibytes(memory.anonymous),
        memory.threads
    );
}

pub(crate) fn idle(variant: &str, time: Duration, bytes: usize, processor: Duration) {
    println!(
        "| {} s without a key | {variant} | {bytes} bytes, {} ms of processor time | | |",
        time.as_secs(),
        processor.as_millis()
    );
}
