//! The configured verdict on missing data.

use crate::model::{
    verdict::Verdict,
    words::{Outcome, Reason, words},
};

words! {
    /// Verdict without data to judge: an idle service, or a query without a value.
    WhenNoData {
        /// The check passes.
        Pass = "pass",
        /// The check warns.
        Warn = "warn",
        /// The check fails, with the reason `empty`.
        Fail = "fail",
        /// The check is unknown, with the reason `empty`.
        Unknown = "unknown",
    }
}

impl WhenNoData {
    /// Creates the verdict; the text describes the missing data.
    #[must_use]
    pub fn verdict(self, text: String) -> Verdict {
        let outcome = match self {
            Self::Pass => Outcome::Pass,
            Self::Warn => Outcome::Warn,
            Self::Fail => Outcome::Fail(Reason::Empty),
            Self::Unknown => Outcome::Unknown(Reason::Empty),
        };
        Verdict::new(outcome, text)
    }
}
