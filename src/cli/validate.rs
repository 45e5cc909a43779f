//! `validate`: reads the configuration, says what is wrong with it, and touches nothing else.

use std::io::{self, Write};

use super::{Exit, GlobalArgs};
use crate::{app::OneShot, settings::Flags};

pub(super) fn run(common: &GlobalArgs, flags: Flags) -> anyhow::Result<Exit> {
    let settings = common.load(flags)()?;
    let checks: usize = settings.probes.iter().map(|probe| probe.info.checks.len()).sum();
    let probes = settings.probes.len();
    // Some mistakes only show when a probe is put together with its checks; that opens nothing yet.
    OneShot::new(settings, |_, _| true)?;
    let path = common.config_path();
    writeln!(io::stdout().lock(), "{} is good; probes: {probes}, checks: {checks}", path.display())?;
    Ok(Exit::Good)
}
