//! The `process_*` metrics of this process, read from /proc.
//!
//! The `prometheus` crate's process collector counts CPU time in whole seconds, which is too coarse for a daemon that
//! uses a few milliseconds per second. Without /proc, no metric is exposed.

use std::fs;

use super::{ExpositionFormat, encoder::LineEncoder, families::SampleSink, page_buffer::PageBuffer};
use crate::model::metric::{Family, TASKS, Type};

/// Clock ticks per second in /proc. The Linux ABI fixes the value, whatever the kernel's timer frequency.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

macro_rules! process {
    ($($id:ident: $kind:ident $name:literal $help:literal;)+) => {
        $(static $id: Family = Family { name: $name, kind: Type::$kind, help: $help, labels: &[], retained: false };)+
    };
}

process! {
    CPU: Counter "process_cpu_seconds_total" "User and system CPU time spent.";
    RESIDENT: Gauge "process_resident_memory_bytes" "Resident memory.";
    VIRTUAL: Gauge "process_virtual_memory_bytes" "Virtual memory.";
    THREADS: Gauge "process_threads" "Threads.";
    OPEN_FDS: Gauge "process_open_fds" "Open file descriptors.";
    MAX_FDS: Gauge "process_max_fds" "File descriptors that may be open at once.";
    START: Gauge "process_start_time_seconds" "When the process started, since the epoch.";
}

/// Metrics of this process.
#[derive(Debug)]
pub(super) struct Process {
    /// Start time. It is read once, because /proc/stat lists every interrupt counter.
    start: Option<f64>,
}

impl Process {
    pub(super) fn current() -> Self {
        Self { start: start_time(&fs::read_to_string("/proc/self/stat").unwrap_or_default()) }
    }

    /// Renders the end of a page.
    pub(super) fn render_tail(&self, format: ExpositionFormat, tasks: usize) -> String {
        let mut lines = LineEncoder::new(format, PageBuffer::plain());
        self.write(tasks, &mut lines);
        let mut text = lines.finish().into_text();
        if format == ExpositionFormat::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn write(&self, tasks: usize, sink: &mut dyn SampleSink) {
        sink.family(&TASKS, &[]);
        sink.sample(&[], tasks as f64);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let kilobytes = |key| number_after(&status, key).map(|kilobytes| kilobytes * 1024.0);
        for (family, value) in [
            (&CPU, cpu_seconds(&stat)),
            (&RESIDENT, kilobytes("VmRSS:")),
            (&VIRTUAL, kilobytes("VmSize:")),
            (&THREADS, number_after(&status, "Threads:")),
            // Reading the directory itself opens one descriptor.
            (&OPEN_FDS, fs::read_dir("/proc/self/fd").ok().map(|list| list.count().saturating_sub(1) as f64)),
            (&MAX_FDS, max_open_files()),
            (&START, self.start),
        ] {
            if let Some(value) = value {
                sink.family(family, &[]);
                sink.sample(&[], value);
            }
        }
    }
}

/// Returns the limit on open file descriptors; `None` if it is unlimited or unknown.
pub(crate) fn max_open_files() -> Option<f64> {
    fs::read_to_string("/proc/self/limits").ok().and_then(|limits| number_after(&limits, "Max open files"))
}

/// Returns the first number after a key at the start of a line.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Parses utime and stime, fields 14 and 15. Fields are counted after the process name, which may contain spaces and
/// parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / CLOCK_TICKS_PER_SECOND)
}

/// Parses the start time, field 22, in ticks since boot.
fn start_time(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    Some(number_after(&fs::read_to_string("/proc/stat").ok()?, "btime")? + ticks / CLOCK_TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 1000 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    fn this_very_process_started_lately() {
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        let started = start_time(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!((now - started).abs() < 600.0, "{started} {now}");
    }
}
