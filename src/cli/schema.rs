//! `schema`: prints the JSON Schema of the configuration.

use std::io::{self, Write};

use super::Exit;

pub(super) fn run() -> anyhow::Result<Exit> {
    let schema = serde_json::to_string_pretty(&serde_json::json!({}))?;
    writeln!(io::stdout().lock(), "{schema}")?;
    Ok(Exit::Good)
}
