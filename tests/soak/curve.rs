//! How the daemon fares over time, and whether that is flat.

use std::{fmt, fs, time::Duration};

use super::targets::INTERVAL;

/// One look at the daemon.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    at: Duration,
    resident: f64,
    descriptors: f64,
    threads: f64,
    tasks: f64,
    cpu: f64,
    lateness: f64,
    stale: usize,
    panics: f64,
    scrapes: u64,
}

/// All looks, in their order.
#[derive(Debug, Default)]
pub(crate) struct Curve(Vec<Point>);

impl Point {
    pub(crate) const HEAD: &str =
        "  time   MiB resident   descriptors   threads   tasks   CPU s   latest start ms   stale   panics   scrapes";

    /// From /proc, and from the daemon's own page.
    pub(crate) fn of(at: Duration, process: u32, page: &str, scrapes: u64) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the daemon runs");
        let kilobytes: f64 = after(&status, "VmRSS:");
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("the daemon runs").count();
        Self {
            at,
            resident: kilobytes / 1024.0,
            descriptors: descriptors as f64,
            threads: after(&status, "Threads:"),
            tasks: after(page, "readiness_tasks "),
            cpu: after(page, "process_cpu_seconds_total "),
            lateness: values(page, "readiness_probe_lateness_seconds{").fold(0.0, f64::max) * 1e3,
            stale: stale(page),
            panics: after(page, "readiness_panics_total "),
            scrapes,
        }
    }
}

/// Probes that have not run for three intervals, those aside that a reload has just brought.
fn stale(page: &str) -> usize {
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let limit = INTERVAL.as_secs_f64() * 3.0;
    values(page, "readiness_probe_last_run_timestamp_seconds{").filter(|at| *at > 0.0 && now - at > limit).count()
}

fn values(page: &str, start: &str) -> impl Iterator<Item = f64> {
    page.lines().filter(move |line| line.starts_with(start)).filter_map(|line| line.rsplit(' ').next()?.parse().ok())
}

/// The first number after a key at the start of a line.
fn after(text: &str, key: &str) -> f64 {
    let line =
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {text:.300}"));
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, resident, descriptors, threads, tasks, cpu, lateness, stale, panics, scrapes } = self;
        let (minutes, seconds) = (at.as_secs() / 60, at.as_secs() % 60);
        write!(
            f,
            "{minutes:>3}:{seconds:02}   {resident:>12.1}   {descriptors:>11}   {threads:>7}   {tasks:>5}   {cpu:>5.1}   \
             {lateness:>15.1}   {stale:>5}   {panics:>6}   {scrapes:>7}"
        )
    }
}

impl Curve {
    pub(crate) fn push(&mut self, point: Point) {
        self.0.push(point);
    }

    /// Where the last quarter lies above the second; what must never be, but was.
    pub(crate) fn problems(&self) -> Vec<String> {
        type Figure = (&'static str, f64, fn(&Point) -> f64);
        // By how much the median may rise: noise of connections that happen to be open, not growth.
        const FIGURES: [Figure; 4] = [
            ("MiB resident", 1.03, |point| point.resident),
            ("descriptors", 1.05, |point| point.descriptors),
            ("threads", 1.0, |point| point.threads),
            ("tasks", 1.05, |point| point.tasks),
        ];
        let quarter = self.0.len() / 4;
        let mut problems = Vec::new();
        for (name, may, figure) in FIGURES {
            let early = median(&self.0[quarter..quarter * 2], figure);
            let late = median(&self.0[self.0.len() - quarter..], figure);
            println!("{name}: {early:.1} in the second quarter, {late:.1} in the last");
            if late > early * may {
                problems.push(format!("{name} went from {early:.1} to {late:.1}"));
            }
        }
        let stale = self.0.iter().filter(|point| point.stale > 0).count();
        if stale > 0 {
            problems.push(format!("probes were stale in {stale} of {} looks", self.0.len()));
        }
        if self.0.iter().any(|point| point.panics > 0.0) {
            problems.push("there was a panic".to_owned());
        }
        problems
    }
}

fn median(points: &[Point], figure: fn(&Point) -> f64) -> f64 {
    let mut values: Vec<f64> = points.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
