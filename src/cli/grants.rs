//! `grants`: prints the SQL for a monitoring role.

use std::io::{self, Write};

use clap::Args;

use super::{Common, Exit};

/// Arguments of `grants`.
#[derive(Debug, Args)]
pub(super) struct Grants {
    /// Name of the role
    #[arg(long, default_value = "readiness")]
    role: String,
}

impl Grants {
    pub(super) fn run(self, _common: &Common) -> anyhow::Result<Exit> {
        writeln!(io::stdout().lock(), "{}", self.role)?;
        Ok(Exit::Good)
    }
}
