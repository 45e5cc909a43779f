#![doc = include_str!("health.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        measure::MeasureInfo,
        observation::{Facts, Observation},
        units::Unit,
        verdict::Verdict,
        words::{Alert, Category, Outcome, Severity},
    },
};

/// Name of the check kind that every probe has.
pub const NAME: &str = "health";

/// Settings of `health`: the settings that every check has, and no others.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {}

impl<F: Facts> CheckKind<F> for Health {
    const NAME: &'static str = NAME;
    const CATEGORY: Category = Category::Health;
    const SEVERITY: Severity = Severity::Critical;
    const ALERT: Alert = Alert::ProbeDown;
    const MEASURES: &'static [MeasureInfo] = F::ANSWER;
    const DOC: &'static str = include_str!("health.md");
}

impl<F: Facts> Check<F> for Health {
    fn judge(&mut self, seen: &Observation<F>) -> Verdict {
        let verdict = match &seen.failure {
            None => {
                let took = Unit::Seconds.display_value(seen.duration.as_secs_f64());
                Verdict::new(Outcome::Pass, format!("worked in {took}"))
            }
            Some(failure) => Verdict::failed_run(failure),
        };
        Verdict { measures: seen.facts.as_ref().map(Facts::answer).unwrap_or_default(), ..verdict }
    }
}
