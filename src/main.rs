//! Arguments and exit codes; the rest is the library's.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    readiness_exporter::cli::Cli::parse().run()
}
