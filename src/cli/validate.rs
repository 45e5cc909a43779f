//! `validate`: loads the configuration and reports its errors, without any other effect.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::{Exit, GlobalArgs, print_error};
use crate::{app::OneShot, settings::Flags};

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The configuration: a YAML file or a folder of YAML files. Default: --config.file
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
}

impl ValidateArgs {
    pub(super) fn run(self, common: &GlobalArgs) -> anyhow::Result<Exit> {
        // --config.file may come from the environment, and a path on the command line is closer.
        match self.path {
            None => run(common, Flags::default()),
            Some(path) if path.as_os_str().is_empty() => Ok(print_error("the path is empty")),
            path => run(&GlobalArgs { config_file: path, ..common.clone() }, Flags::default()),
        }
    }
}

pub(super) fn run(common: &GlobalArgs, flags: Flags) -> anyhow::Result<Exit> {
    let settings = common.load(flags)()?;
    let checks: usize = settings.probes.iter().map(|probe| probe.info.checks.len()).sum();
    let probes = settings.probes.len();
    // Some errors appear only when a probe is built with its checks. Building opens no connections.
    OneShot::new(settings, |_, _| true)?;
    let path = common.config_path();
    writeln!(io::stdout().lock(), "{} is valid; probes: {probes}, checks: {checks}", path.display())?;
    Ok(Exit::Good)
}
