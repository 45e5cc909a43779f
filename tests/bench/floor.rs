//! The bare program that figures are held against, `floor.c`, compiled for this run.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The program, compiled; it goes with this.
pub(crate) struct Floor {
    _folder: tempfile::TempDir,
    program: PathBuf,
}

/// How fast exchanges follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as it goes, one at a time.
    BackToBack,
    /// Fifty a second.
    Paced,
}

impl Floor {
    /// Compiles it.
    pub(crate) fn build() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("floor");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/floor.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-o"]).arg(&program).arg(source).args(["-lssl", "-lcrypto"]);
        let compiled = compiler.status();
        let advice = "the floor needs a C compiler and OpenSSL: apt-get install gcc libssl-dev";
        assert!(compiled.is_ok_and(|status| status.success()), "{advice}");
        Self { _folder: folder, program }
    }

    /// CPU for one exchange, in microseconds.
    pub(crate) fn exchange(&self, kind: &str, port: u16, pace: Pace, authority: Option<&Path>) -> f64 {
        let (count, pause) = match (pace, authority) {
            (Pace::BackToBack, None) => ("5000", "0"),
            (Pace::BackToBack, Some(_)) => ("1000", "0"),
            (Pace::Paced, _) => ("250", "20000"),
        };
        let mut command = Command::new(&self.program);
        command.args([kind, &port.to_string(), count, pause]).args(authority);
        nanoseconds(&mut command) / 1e3
    }

    /// CPU that a process has used so far, all of its threads, user and system.
    pub(crate) fn cpu_of(&self, process: u32) -> Duration {
        Duration::from_nanos(nanoseconds(Command::new(&self.program).args(["cpu", &process.to_string()])) as u64)
    }
}

fn nanoseconds(command: &mut Command) -> f64 {
    let output = command.output().expect("the floor runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}
