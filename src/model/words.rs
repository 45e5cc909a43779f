//! Closed lists of words: statuses, reasons, severities, categories, phases, alerts.
//!
//! Each word is written identically in the configuration, in labels and in the API.

/// Declares an enum of words and the list of its values.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[doc = $doc])+ #[serde(rename = $word)] $variant),+ }
        impl $name {
            /// All words in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word in labels and in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            /// The description in the reference, as one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+)),+ }.trim()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// A part of a run with its own duration.
    Phase {
        /// Resolves the host name.
        Resolve = "resolve",
        /// Opens the connection.
        Connect = "connect",
        /// Performs the TLS handshake.
        Tls = "tls",
        /// Authenticates and starts the session.
        Login = "login",
        /// Sends the request and waits for the first byte of the response.
        Request = "request",
        /// Reads the response from its first byte to its end.
        Response = "response",
        /// Runs the queries.
        Query = "query",
        /// Lists the files.
        List = "list",
        /// Reads file contents.
        Read = "read",
    }
}

words! {
    /// Cause of a failure.
    Reason {
        /// The name has no address.
        Resolve = "resolve",
        /// The target refused the connection.
        Refused = "refused",
        /// There is no route to the target.
        Unreachable = "unreachable",
        /// The operation did not end within its time limit.
        Timeout = "timeout",
        /// The TLS handshake failed for another reason than the certificate.
        Tls = "tls",
        /// The certificate has expired, is not trusted or is for another name.
        Certificate = "certificate",
        /// The peer does not speak the expected protocol.
        Protocol = "protocol",
        /// The credentials are missing or wrong.
        Auth = "auth",
        /// The response has an unexpected status.
        Status = "status",
        /// The content is not the expected content.
        Body = "body",
        /// The content exceeds a size limit.
        TooLarge = "too_large",
        /// The operation is not permitted.
        Permission = "permission",
        /// The object does not exist.
        NotFound = "not_found",
        /// The server refused or failed the query.
        Query = "query",
        /// The content cannot be parsed.
        Parse = "parse",
        /// A value is beyond its limit.
        Limit = "limit",
        /// There is nothing to judge.
        Empty = "empty",
        /// The operation was cancelled by this program.
        Canceled = "canceled",
        /// The program has a defect.
        Internal = "internal",
    }
}

words! {
    /// Side on which the cause of a failure lies.
    Origin {
        /// The target, or the way to it.
        Target = "target",
        /// The credentials, certificates, files or privileges of this exporter. Such a failure says nothing about the
        /// target.
        Exporter = "exporter",
    }
}

words! {
    /// The status of a check.
    Status {
        /// Every limit and expectation is met.
        Pass = "pass",
        /// A value is beyond the warning step of its limit.
        Warn = "warn",
        /// A value is beyond its limit, or an expectation is not met.
        Fail = "fail",
        /// The check could not be judged.
        Unknown = "unknown",
        /// There are not enough observations yet.
        Pending = "pending",
        /// The check is disabled, or a probe that it depends on fails.
        Skipped = "skipped",
    }
}

words! {
    /// Importance of a failing check.
    Severity {
        /// A failure pages a person.
        Critical = "critical",
        /// A failure creates a ticket.
        Warning = "warning",
        /// A failure is examined in the next review.
        Info = "info",
    }
}

words! {
    /// Aspect of readiness that a check covers.
    Category {
        /// The target works.
        Health = "health",
        /// The target responds fast enough.
        Performance = "performance",
        /// The error rate is low enough.
        Errors = "errors",
        /// Resources are sufficient.
        Capacity = "capacity",
        /// Data can be restored.
        Backup = "backup",
        /// The target is protected.
        Security = "security",
        /// Metrics, logs and alerts work.
        Observability = "observability",
        /// The infrastructure is in order.
        Platform = "platform",
        /// Changes can be deployed.
        Delivery = "delivery",
        /// Owners, runbooks and procedures are defined.
        Operations = "operations",
    }
}

impl Reason {
    /// The description as a clause within a longer sentence: without the capital letter and the period.
    #[must_use]
    pub fn clause(self) -> String {
        let mut letters = self.description().trim_end_matches('.').chars();
        letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
    }
}

words! {
    /// Effect of a gated check on the gate while the check is pending for lack of observations.
    WhilePending {
        /// The check blocks the gate until it is judged.
        Blocks = "blocks",
        /// The check does not block the gate. A check that has not run since the start of the daemon always blocks the
        /// gate.
        Passes = "passes",
    }
}

words! {
    /// Verdict of a gate.
    GateVerdict {
        /// No check blocks the gate.
        Pass = "pass",
        /// A failing check blocks the gate.
        Fail = "fail",
        /// No failing check blocks the gate, but an unknown, pending or skipped check does.
        Inconclusive = "inconclusive",
    }
}

impl Status {
    /// Statuses in the order of display, with the most urgent first.
    pub const WORST_FIRST: [Self; 6] =
        [Self::Fail, Self::Unknown, Self::Warn, Self::Pending, Self::Skipped, Self::Pass];

    /// Position in [`Status::WORST_FIRST`].
    #[must_use]
    pub fn display_order(self) -> usize {
        Self::WORST_FIRST.iter().position(|one| *one == self).unwrap_or_default()
    }

    /// Rank from `pass` (0) to `fail`. `unknown` ranks above `warn`.
    #[must_use]
    pub fn severity_order(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Pending | Self::Skipped => 1,
            Self::Warn => 2,
            Self::Unknown => 3,
            Self::Fail => 4,
        }
    }
}

/// Status of a check after one run, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All limits and expectations are met.
    Pass,
    /// A value is beyond a warning step.
    Warn,
    /// A value is beyond its limit, or an expectation is not met.
    Fail(Reason),
    /// The check can't be judged.
    Unknown(Reason),
    /// There are not enough observations yet.
    Pending,
}

impl Outcome {
    /// Rank of the status.
    #[must_use]
    pub fn severity_order(self) -> u8 {
        self.status().severity_order()
    }

    /// The status without its reason.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Pass => Status::Pass,
            Self::Warn => Status::Warn,
            Self::Fail(_) => Status::Fail,
            Self::Unknown(_) => Status::Unknown,
            Self::Pending => Status::Pending,
        }
    }

    /// Reason of a status that is not good.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Fail(reason) | Self::Unknown(reason) => Some(reason),
            Self::Warn => Some(Reason::Limit),
            Self::Pass | Self::Pending => None,
        }
    }
}

impl Severity {
    /// Whether a check of this severity takes part in the overall verdict by default.
    #[must_use]
    pub fn gates_by_default(self) -> bool {
        self != Self::Info
    }
}

words! {
    /// Alert that reports failures of a check kind, and value of the label `alert` of `readiness_check_info`. The alert
    /// rules select by this label.
    Alert {
        /// The target of a probe does not work.
        ProbeDown = "ReadinessProbeDown",
        /// Latency above its limit.
        LatencyHigh = "ReadinessLatencyHigh",
        /// Error ratio above its limit.
        ErrorRateHigh = "ReadinessErrorRateHigh",
        /// Throughput outside its limits.
        ThroughputOutOfBounds = "ReadinessThroughputOutOfBounds",
        /// A value outside its limits.
        ValueOutOfBounds = "ReadinessValueOutOfBounds",
        /// A connection pool near its size.
        PoolSaturated = "ReadinessPoolSaturated",
        /// A certificate that ends soon, or is not trusted.
        CertificateExpiring = "ReadinessCertificateExpiring",
        /// The newest backup is too old.
        BackupStale = "ReadinessBackupStale",
        /// Runs of the backup schedule left no backup.
        BackupMissed = "ReadinessBackupMissed",
        /// Any other check that fails.
        CheckFailing = "ReadinessCheckFailing",
    }
}
