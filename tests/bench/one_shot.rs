//! Runs back to back, one at a time, in a process of their own: observed, judged and written on the board, round
//! after round, as `check` does it. Only timers are not in it.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use readiness_exporter::{
    app::OneShot,
    settings::{self, Sources},
};

use crate::floor::Floor;

/// The word that makes this program such a process.
pub(crate) const WORD: &str = "rehearse";

/// CPU of one run of the configured probes, in microseconds, over so many rounds.
pub(crate) fn cost(floor: &Floor, configuration: &str, rounds: u32) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("readiness.yaml");
    std::fs::write(&file, configuration).expect("a file");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(WORD).arg(file).arg(rounds.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("this program");
    let mut said = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut number = || -> f64 {
        let line = said.next().expect("a line: did it end?").expect("a line");
        line.parse().expect("a number")
    };
    number();
    let before = floor.cpu_of(process.id());
    writeln!(process.stdin.as_mut().expect("a pipe"), "go").expect("a pipe");
    let runs = number();
    let cpu = floor.cpu_of(process.id()) - before;
    drop(process.stdin.take());
    process.wait().expect("an end");
    cpu.as_secs_f64() * 1e6 / runs
}

/// The process: warms up, says so, waits for a line, runs, says how much, and waits for the end of its input.
pub(crate) fn process(file: &Path, rounds: u32) {
    // One thread, as the daemon has it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sources = Sources { path: file.to_owned(), ..Sources::default() };
    let settings = settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let one_shot = OneShot::new(settings, |_, _| true).unwrap_or_else(|problems| panic!("{problems}"));
    let one_shot = Arc::new(one_shot);
    let run = |rounds: u32| {
        let one_shot = Arc::clone(&one_shot);
        // In a task, as the daemon's runs are: what wakes itself there asks the system for nothing.
        let all = runtime.spawn(async move {
            let mut failed = 0;
            for _ in 0..rounds {
                let seen = one_shot.run_all(|_| {}).await;
                failed = seen.probes.iter().flat_map(|probe| probe.failures).map(u64::from).sum::<u64>();
            }
            failed
        });
        runtime.block_on(all).expect("no panic")
    };
    let mut lines = std::io::stdin().lines();
    run(rounds.div_ceil(10));
    println!("0");
    let _ = lines.next();
    let (failed, runs) = (run(rounds), u64::from(rounds) * one_shot.probe_count() as u64);
    // On a machine that is busy with other things, a target may be too late once in a while.
    assert!(failed * 100 <= runs, "{failed} of {runs} runs failed");
    println!("{runs}");
    let _ = lines.next();
}
