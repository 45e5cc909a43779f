//! The command line: global arguments and one module for each command.

mod check;
mod demo;
mod explain;
mod grants;
mod healthcheck;
mod reference;
mod schema;
mod serve;
mod validate;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{
    app::LoadSettings,
    document::{Diagnostics, Location},
    io::resources::THREADS,
    model::words::GateVerdict,
    settings::{self, Flags, Sources},
    telemetry::{self, LogFormat},
};

/// Evaluates production readiness checks continuously and serves the verdicts to Prometheus.
///
/// The default command is `serve`.
#[derive(Debug, Parser)]
#[command(name = "readiness-exporter", version = VERSION, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    common: GlobalArgs,
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Version with the revision of the build, if known.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("READINESS_REVISION"), ")");

const AFTER_HELP: &str = "\
Start here:
  readiness-exporter demo                           see it at work
  readiness-exporter validate --config.file x.yaml  list what is wrong with x.yaml
  readiness-exporter reference http/latency         print the page of a check
  readiness-exporter check --wait 5m                wait until everything passes

Exit codes of check and explain: 0 no check blocks the gate, 1 a failing check
blocks it, 2 bad configuration or usage, 3 only checks that can't be judged do.";

/// Default locations of the configuration.
const DEFAULT_CONFIG_PATHS: [&str; 2] = ["config/readiness.yaml", "/etc/readiness-exporter/readiness.yaml"];

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
struct GlobalArgs {
    /// Configuration: a YAML file or a folder of YAML files. Default: config/readiness.yaml, then
    /// /etc/readiness-exporter/readiness.yaml
    #[arg(long = "config.file", value_name = "PATH", env = "READINESS_CONFIG", global = true)]
    config_file: Option<PathBuf>,
    /// Log level: error, warn, info, debug or trace
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        env = "READINESS_LOG_LEVEL",
        default_value = "info",
        global = true
    )]
    log_level: String,
    /// Log format
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        env = "READINESS_LOG_FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default)
    Serve(serve::ServeArgs),
    /// Run the daemon against a demo service in the same process, with scripted faults
    Demo(demo::DemoArgs),
    /// Run every check once and print the verdicts; a gate for pipelines
    Check(check::CheckArgs),
    /// Validate the configuration
    Validate(validate::ValidateArgs),
    /// Run one probe once and print its facts and the verdicts of its checks
    Explain(explain::ExplainArgs),
    /// Print the SQL that grants a monitoring role the privileges of the configured postgres checks
    Grants(grants::GrantsArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print the reference page of a probe kind or a check kind: settings, verdicts, examples, measures, alert
    Reference(reference::ReferenceArgs),
    /// Check whether the local daemon is healthy: exit code 0 if so, else 1; for containers without a shell
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// Exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Good = 0,
    /// A check fails.
    Fails = 1,
    /// Invalid configuration or usage.
    Usage = 2,
    /// A check can't be judged.
    Unknown = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<GateVerdict> for Exit {
    fn from(verdict: GateVerdict) -> Self {
        match verdict {
            GateVerdict::Pass => Self::Good,
            GateVerdict::Fail => Self::Fails,
            GateVerdict::Inconclusive => Self::Unknown,
        }
    }
}

impl Cli {
    /// Runs the command and returns its exit code.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let Self { common, serve, command } = self;
        let _log = match telemetry::start(&common.log_level, common.log_format) {
            Ok(ending) => ending,
            Err(problem) => return print_error(&problem).into(),
        };
        let no_serve_flags = serve.is_empty();
        let done = match command {
            None => serve.run(&common),
            Some(Command::Serve(flags)) => flags.with_defaults_from(serve).run(&common),
            Some(_) if !no_serve_flags => {
                let text =
                    "--web.*, --state.path and --config.check belong to `serve`: write them after it, or remove them";
                Ok(print_error(text))
            }
            Some(Command::Demo(demo)) => demo.run(),
            Some(Command::Check(check)) => check.run(&common),
            Some(Command::Validate(validate)) => validate.run(&common),
            Some(Command::Explain(explain)) => explain.run(&common),
            Some(Command::Grants(grants)) => grants.run(&common),
            Some(Command::Schema) => schema::run(),
            Some(Command::Reference(command)) => command.run(),
            Some(Command::Healthcheck(healthcheck)) => healthcheck.run(&common),
        };
        match done {
            Ok(exit) => exit.into(),
            // A reader such as `| head` may close the pipe early.
            Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
                ExitCode::SUCCESS
            }
            Err(error) if error.is::<Diagnostics>() => print_error(&error.to_string()).into(),
            Err(error) => {
                print_error(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    /// The command line definition, for tests of the documentation.
    #[must_use]
    pub fn describe() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

impl GlobalArgs {
    /// Returns a function that loads the configuration.
    fn load(&self, flags: Flags) -> LoadSettings {
        // The path is resolved once; the content is read at each call.
        let Some(path) = self.find_config() else { return Arc::new(|| Err(no_configuration_error())) };
        let common = Self { config_file: Some(path), ..self.clone() };
        Arc::new(move || settings::load(&common.sources(flags.clone())))
    }

    /// Sources of the configuration, with the environment of this process.
    fn sources(&self, flags: Flags) -> Sources {
        let environment = std::env::vars_os();
        // A variable that is not UTF-8 can't be a setting.
        let environment =
            environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Sources { path: self.config_path(), environment: environment.collect(), flags }
    }

    fn config_path(&self) -> PathBuf {
        self.find_config().unwrap_or_else(|| DEFAULT_CONFIG_PATHS[0].into())
    }

    /// Returns the explicit path, or the first default path with a file, readable or not.
    fn find_config(&self) -> Option<PathBuf> {
        let is_missing = |path: &PathBuf| path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        self.config_file
            .clone()
            .or_else(|| DEFAULT_CONFIG_PATHS.into_iter().map(PathBuf::from).find(|path| !is_missing(path)))
    }
}

fn no_configuration_error() -> Diagnostics {
    let usual = DEFAULT_CONFIG_PATHS.join(" nor at ");
    let text = format!("no configuration at {usual}: create one there, or specify it with --config.file");
    let mut problems = Diagnostics::default();
    problems.push(Location::default(), text, None);
    problems
}

/// Prints an error to standard error.
fn print_error(problem: &str) -> Exit {
    // Writing fails only if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{}", problem.trim_end());
    Exit::Usage
}

/// Runs a future on a single-threaded runtime; the daemon adds a second runtime for its probes (see the decisions in
/// the crate documentation). Runs mostly wait, and moving them between threads would cost more than most of them do.
/// Expensive work (pages, files, lookups) runs on other threads.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build()?;
    let done = runtime.block_on(work);
    // A hanging DNS lookup or file access must not delay the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    Ok(done)
}
