//! `reference`: prints the reference page of a probe kind or a check kind.

use std::io::{self, Write};

use clap::Args;

use super::{Exit, print_error};
use crate::reference;

/// Arguments of `reference`.
#[derive(Debug, Args)]
pub(super) struct ReferenceArgs {
    /// A probe kind or one of its checks: `http`, `http/latency`; or `defaults`. Without it, the index of all pages
    #[arg(value_name = "KIND[/CHECK]")]
    name: Option<String>,
}

impl ReferenceArgs {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let page = match &self.name {
            None => reference::index(),
            Some(name) => match reference::page(name) {
                Ok(page) => page,
                Err(message) => return Ok(print_error(&message)),
            },
        };
        io::stdout().lock().write_all(page.as_bytes())?;
        Ok(Exit::Good)
    }
}
