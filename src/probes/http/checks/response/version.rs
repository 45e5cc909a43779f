//! Requirements on versions, as in `>=1.4.0, <2`. Versions are compared by the precedence of Semantic Versioning 2.0.0,
//! section 11: a pre-release (`1.4.0-rc.1`) is lower than its release, and build metadata is ignored.
//!
//! Versions in the field are less strict than the standard. A leading `v`, fewer or more than three numbers and leading
//! zeros (`2026.01.15`) are accepted; a missing number is 0.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Comparisons that a version must all meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionRequirement {
    written: String,
    comparisons: Vec<(VersionOperator, SoftwareVersion)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VersionOperator {
    AtLeast,
    Above,
    AtMost,
    Below,
    Equal,
    Different,
}

/// Operators in the order in which they are recognized: `>=` before `>`.
const OPERATORS: [(&str, VersionOperator); 6] = [
    (">=", VersionOperator::AtLeast),
    ("<=", VersionOperator::AtMost),
    ("!=", VersionOperator::Different),
    (">", VersionOperator::Above),
    ("<", VersionOperator::Below),
    ("=", VersionOperator::Equal),
];

/// A version, ordered by precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SoftwareVersion {
    numbers: Vec<u64>,
    pre_release: Vec<Identifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

/// Maximum length of a version.
const MAX_VERSION_BYTES: usize = 256;

impl SoftwareVersion {
    /// Parses a version; `None` for another text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_VERSION_BYTES {
            return None;
        }
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text.split_once('+').unwrap_or((text, "0"));
        let (numbers, pre_release) = match text.split_once('-') {
            Some((numbers, pre_release)) => (numbers, Some(pre_release)),
            None => (text, None),
        };
        let is_identifier =
            |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !build.split('.').all(|part| is_identifier(&part)) {
            return None;
        }
        let mut numbers = numbers.split('.').map(parse_number).collect::<Option<Vec<_>>>()?;
        // A missing number is 0.
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        let pre_release = match pre_release {
            Some(all) => all.split('.').map(Identifier::parse).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self { numbers, pre_release })
    }
}

fn parse_number(text: &str) -> Option<u64> {
    // `parse` accepts a sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl Identifier {
    fn parse(text: &str) -> Option<Self> {
        let is_valid = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_valid.then(|| parse_number(text).map_or_else(|| Self::Text(text.to_owned()), Self::Number))
    }
}

impl PartialOrd for SoftwareVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SoftwareVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let pre_release = || match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre_release.cmp(&other.pre_release),
        };
        self.numbers.cmp(&other.numbers).then_with(pre_release)
    }
}

impl VersionRequirement {
    /// Parses comparisons that are separated by commas or blanks.
    ///
    /// # Errors
    /// A description of the error.
    pub(crate) fn parse(written: &str) -> Result<Self, String> {
        let form = "write comparisons such as `>=1.4.0, <2`";
        let (mut comparisons, mut rest) = (Vec::new(), written.trim());
        while !rest.is_empty() {
            let found = OPERATORS.iter().find_map(|(text, operator)| Some((*operator, rest.strip_prefix(text)?)));
            let Some((operator, after)) = found else {
                return Err(format!("`{written}` has a version without an operator: {form}"));
            };
            let after = after.trim_start();
            let end = after.find([',', ' ', '<', '>', '=', '!']).unwrap_or(after.len());
            let (version, tail) = after.split_at(end);
            let version =
                SoftwareVersion::parse(version).ok_or_else(|| format!("`{version}` is not a version: {form}"))?;
            comparisons.push((operator, version));
            rest = tail.trim_start_matches([',', ' ']);
        }
        if comparisons.is_empty() {
            return Err(format!("an empty requirement accepts every version: {form}"));
        }
        Ok(Self { written: written.trim().to_owned(), comparisons })
    }

    /// Whether a version meets the requirement; `None` if the text is no version.
    pub(super) fn is_met_by(&self, text: &str) -> Option<bool> {
        let version = SoftwareVersion::parse(text)?;
        Some(self.comparisons.iter().all(|(operator, limit)| operator.accepts(version.cmp(limit))))
    }
}

impl VersionOperator {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::AtLeast => order.is_ge(),
            Self::Above => order.is_gt(),
            Self::AtMost => order.is_le(),
            Self::Below => order.is_lt(),
            Self::Equal => order.is_eq(),
            Self::Different => order.is_ne(),
        }
    }
}

impl fmt::Display for VersionRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Serialize for VersionRequirement {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionRequirement {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precedence_is_that_of_semantic_versioning() {
        // The example of section 11.4.3, and versions of the field.
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.0.1",
            "v1.9.0",
            "1.10",
            "2.0.0-SNAPSHOT",
            "V2",
            "2026.01.15",
            "2026.1.16+build.7",
        ];
        for pair in ascending.windows(2) {
            assert!(SoftwareVersion::parse(pair[0]).unwrap() < SoftwareVersion::parse(pair[1]).unwrap(), "{pair:?}");
        }
        for (one, other) in [("1", "1.0.0"), ("1.4+a", "1.4.0+b"), (" v1.4 ", "1.4"), ("1.04", "1.4")] {
            assert_eq!(SoftwareVersion::parse(one), SoftwareVersion::parse(other), "{one} {other}");
        }
        for bad in ["", "v", "latest", "1..2", "1.x", "1.2-", "1.2+", "-1", "1.2.3 beta", "99999999999999999999999"] {
            assert_eq!(SoftwareVersion::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_requirement_is_met_if_every_comparison_is() {
        for (requirement, version, is_met) in [
            (">=1.4.0", "1.4", true),
            (">=1.4.0", "v1.10.2", true),
            (">=1.4.0", "1.4.0-rc.1", false),
            (">=1.4.0", "1.3.99", false),
            (">=1.4, <2", "1.99", true),
            (">=1.4 <2", "2.0.0", false),
            (">=1.4,<2,!=1.7.3", "1.7.3", false),
            ("= 1.4", "1.4.0+7", true),
            (">1.4", "1.4.0", false),
            ("<=1.4", "1.4.0", true),
        ] {
            let requirement = VersionRequirement::parse(requirement).unwrap();
            assert_eq!(requirement.is_met_by(version), Some(is_met), "{requirement} {version}");
        }
        assert_eq!(VersionRequirement::parse(">=1").unwrap().is_met_by("latest"), None);
        for bad in ["", "1.4", ">=", ">=x", "~1.4", ">=1.4 2", ">>1"] {
            assert!(VersionRequirement::parse(bad).is_err(), "{bad}");
        }
    }
}
