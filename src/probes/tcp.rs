//! `tcp`: connects.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    check::Offer,
    checks::health::Health,
    probe::{Broken, Context, Facts, Failure, Invalid, Kind, Phase, Probe, Reason},
    shared::Shared,
};

/// Settings of a `tcp` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// `host:port`.
    pub address: String,
}

/// What runs.
#[derive(Debug)]
pub struct TcpProbe(Tcp);

/// What was seen.
#[derive(Debug, Serialize)]
pub struct TcpFacts {}

impl Facts for TcpFacts {
    type Want = ();
}

impl Kind for Tcp {
    const NAME: &'static str = "tcp";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect];
    type Probe = TcpProbe;

    fn checks() -> Vec<Offer<TcpFacts>> {
        vec![Offer::of::<Health>()]
    }

    fn acquire(self, _wants: Vec<()>, _shared: &Arc<Shared>) -> Result<TcpProbe, Invalid> {
        Ok(TcpProbe(self))
    }
}

impl Probe for TcpProbe {
    type Facts = TcpFacts;

    async fn observe(&self, cx: &Context) -> Result<TcpFacts, Broken<TcpFacts>> {
        let connect = cx.phase(Phase::Connect, tokio::net::TcpStream::connect(&self.0.address)).await;
        connect.map_err(|error| Failure::from_error(Reason::Refused, "connect", &error))?;
        Ok(TcpFacts {})
    }
}
