//! `validate`: loads the configuration and reports its errors, without any other effect.

use std::io::{self, Write};

use super::{Exit, GlobalArgs};
use crate::{app::OneShot, settings::Flags};

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
