//! Closed lists of words: statuses, reasons, severities, categories, phases.
//!
//! Each word stands in the configuration, in labels and in the API as written here.

/// Declares an enum of words that are fixed by the contract, with the list of all of them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }
        impl $name {
            /// Every word, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word as it stands in labels and configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
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
    /// A part of a run that is timed on its own.
    Phase {
        /// From a name to addresses.
        Resolve = "resolve",
        /// Until the connection stands.
        Connect = "connect",
        /// The TLS handshake.
        Tls = "tls",
        /// Authentication and session set-up.
        Login = "login",
        /// From sending to the first byte of the answer.
        Request = "request",
        /// From the first byte of the answer to its end.
        Response = "response",
        /// Queries.
        Query = "query",
        /// Looking what is there.
        List = "list",
        /// Reading contents.
        Read = "read",
    }
}

words! {
    /// Why something failed: the closed list of the contract.
    Reason {
        /// The name has no address.
        Resolve = "resolve",
        /// The other end said no to the connection.
        Refused = "refused",
        /// No way to the other end.
        Unreachable = "unreachable",
        /// It did not finish in time.
        Timeout = "timeout",
        /// The TLS handshake failed for another reason than the certificate.
        Tls = "tls",
        /// The certificate is expired, not trusted or for another name.
        Certificate = "certificate",
        /// The other end does not speak the protocol.
        Protocol = "protocol",
        /// Credentials are missing or wrong.
        Auth = "auth",
        /// An answer with a status that was not expected.
        Status = "status",
        /// The content is not what was expected.
        Body = "body",
        /// More than the limit allows.
        TooLarge = "too_large",
        /// Known to the other end, but not allowed.
        Permission = "permission",
        /// It isn't there.
        NotFound = "not_found",
        /// The server refused or failed the query.
        Query = "query",
        /// The content can't be read as what it should be.
        Parse = "parse",
        /// A value is beyond its limit.
        Limit = "limit",
        /// Nothing there to judge.
        Empty = "empty",
        /// Given up from our side.
        Canceled = "canceled",
        /// A bug of this program.
        Internal = "internal",
    }
}

words! {
    /// The status of a check.
    Status {
        /// As it should be.
        Pass = "pass",
        /// Beyond the first step of a limit.
        Warn = "warn",
        /// Not as it should be.
        Fail = "fail",
        /// It can't be told.
        Unknown = "unknown",
        /// Not enough seen yet.
        Pending = "pending",
        /// Switched off, or what it depends on is failing.
        Skipped = "skipped",
    }
}

words! {
    /// How bad it is when a check fails.
    Severity {
        /// Wakes somebody up.
        Critical = "critical",
        /// Becomes a ticket.
        Warning = "warning",
        /// Is looked at in a review.
        Info = "info",
    }
}

words! {
    /// The part of readiness that a check is about.
    Category {
        /// Does it work.
        Health = "health",
        /// Is it fast enough.
        Performance = "performance",
        /// Does it make few enough errors.
        Errors = "errors",
        /// Is there room left.
        Capacity = "capacity",
        /// Can it be brought back.
        Backup = "backup",
        /// Is it safe from others.
        Security = "security",
        /// Can it be seen.
        Observability = "observability",
        /// Does what it stands on hold.
        Platform = "platform",
        /// Can it be changed.
        Delivery = "delivery",
        /// Do people know what to do.
        Operations = "operations",
    }
}

impl Status {
    /// In the order in which a person wants to read them.
    pub const WORST_FIRST: [Self; 6] =
        [Self::Fail, Self::Unknown, Self::Warn, Self::Pending, Self::Skipped, Self::Pass];

    /// The place in [`Status::WORST_FIRST`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::WORST_FIRST.iter().position(|one| *one == self).unwrap_or_default()
    }

    /// Pass is best, fail is worst; what can't be told is nearly as bad.
    #[must_use]
    pub fn badness(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Pending | Self::Skipped => 1,
            Self::Warn => 2,
            Self::Unknown => 3,
            Self::Fail => 4,
        }
    }
}

/// The status that one run gives a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Beyond the first step of a limit.
    Warn,
    /// Not as it should be.
    Fail(Reason),
    /// It can't be told.
    Unknown(Reason),
    /// Not enough seen yet.
    Pending,
}

impl Outcome {
    /// As that of its status.
    #[must_use]
    pub fn badness(self) -> u8 {
        self.status().badness()
    }

    /// The same as a status.
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

    /// Why, where it isn't good.
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
    pub fn gates(self) -> bool {
        self != Self::Info
    }
}

words! {
    /// The alert that reports a failing check of a kind; also the label `alert` of `readiness_check_info`, by which the
    /// rules select.
    Alert {
        /// What the probe watches does not work.
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
