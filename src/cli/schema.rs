//! `schema`: prints the JSON Schema of the configuration.

use std::io::{self, Write};

use super::Exit;

pub(super) fn run() -> anyhow::Result<Exit> {
    let schema = serde_json::to_string_pretty(&crate::settings::schema())?;
    writeln!(io::stdout().lock(), "{schema}")?;
    Ok(Exit::Good)
}
