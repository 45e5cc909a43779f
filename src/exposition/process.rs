//! The `process_*` metrics of this process, read from /proc.
//!
//! The `prometheus` crate has a collector of these, too, but it counts CPU in whole seconds: too coarse for a daemon
//! that needs a few milliseconds a second. Without /proc nothing is exposed.

use std::fs;

use prometheus::{
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{
    ExpositionFormat, collector::ProtoSink, encoder::LineEncoder, families, page_buffer::PageBuffer, sink::SampleSink,
};
use crate::model::metric::{Family, TASKS, Type};

/// Clock ticks per second in /proc. The Linux ABI fixes the value, whatever the kernel's timer frequency.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

macro_rules! process {
    ($($id:ident: $kind:ident $name:literal $help:literal;)+) => {
        $(static $id: Family = Family { name: $name, kind: Type::$kind, help: $help, labels: &[], retained: false };)+
        static FAMILIES: &[&Family] = &[$(&$id),+];
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

/// A collector of the `process_*` families of this process.
pub(super) struct ProcessCollector {
    /// Start time of the process. It is read once, because /proc/stat is expensive: it lists every interrupt.
    start: Option<f64>,
    descriptions: Vec<Desc>,
}

/// Whether a family belongs to the tail of a page: it changes although the board doesn't.
pub(super) fn is_in_tail(name: &str) -> bool {
    tail_families().any(|family| family.name == name)
}

/// The tail of a page: the gathered families that change although the board doesn't, and the end of the page.
pub(super) fn render_tail(format: ExpositionFormat, gathered: &[MetricFamily]) -> String {
    let mut encoder = LineEncoder::new(format, PageBuffer::plain());
    tail_families().for_each(|family| families::write_gathered(gathered, family, &mut encoder));
    let mut text = encoder.finish().into_text();
    if format == ExpositionFormat::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn tail_families() -> impl Iterator<Item = &'static Family> {
    [&TASKS].into_iter().chain(FAMILIES.iter().copied())
}

impl Default for ProcessCollector {
    fn default() -> Self {
        let describe = |family: &&Family| {
            Desc::new(family.name.to_owned(), family.help.to_owned(), Vec::new(), Default::default()).ok()
        };
        let start = start_time(&fs::read_to_string("/proc/self/stat").unwrap_or_default());
        Self { start, descriptions: FAMILIES.iter().filter_map(describe).collect() }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut sink = ProtoSink::default();
        self.write(&mut sink);
        sink.finish()
    }
}

impl ProcessCollector {
    fn write(&self, sink: &mut dyn SampleSink) {
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
