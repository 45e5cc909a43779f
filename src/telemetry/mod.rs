//! Logging to standard error as logfmt or JSON, one line for each event.

mod queue;

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::{Layer, Registry, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::queue::FlushGuard;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `ts=.. level=.. msg=..`, similar to Prometheus and its exporters.
    #[default]
    Logfmt,
    /// One JSON object for each line.
    Json,
}

/// Starts logging. `level` is `error`, `warn`, `info`, `debug`, `trace`, or a list of directives such as
/// `info,readiness_exporter::scheduler=debug`. Dropping the guard flushes the log.
///
/// # Errors
/// The level is invalid, or logging was already started in this process.
pub fn start(level: &str, format: LogFormat) -> Result<FlushGuard, String> {
    let filter: Targets = level
        .parse()
        .map_err(|error| format!("`{level}` is not a log level: {error}; use error, warn, info, debug or trace"))?;
    let (queue, flush_guard) = queue::start();
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Logfmt => tracing_logfmt::builder()
            .with_timestamp(true)
            .with_target(false)
            .with_span_name(false)
            .with_ansi_color(colour)
            .layer()
            .with_writer(queue)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(queue)
            .with_filter(filter)
            .boxed(),
    };
    tracing_subscriber::registry().with(layer).try_init().map_err(|error| error.to_string())?;
    Ok(flush_guard)
}
