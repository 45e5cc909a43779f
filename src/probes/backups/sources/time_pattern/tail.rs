//! Detector of a longer value behind a time: an offset from UTC, a time zone, or a 12-hour mark that a pattern does not
//! read.

use jiff::Timestamp;
use regex::Regex;

use super::fields::offset_seconds;
use crate::probes::backups::sources::labels::Zone;

/// Expression of the rest of a value behind a time.
#[derive(Debug, Clone)]
pub(super) struct TimeTail(Regex);

/// Abbreviations of time zones that are common in file names, with their offsets in seconds.
const ABBREVIATIONS: [(&str, i32); 16] = [
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("WEST", 3_600),
    ("BST", 3_600),
    ("CET", 3_600),
    ("CEST", 7_200),
    ("EET", 7_200),
    ("EEST", 10_800),
    ("MSK", 10_800),
    ("JST", 32_400),
    ("EST", -18_000),
    ("EDT", -14_400),
    ("PST", -28_800),
    ("PDT", -25_200),
    ("AKST", -32_400),
];

impl TimeTail {
    /// Compiles the expression for a pattern by its properties: a time of day, a 12-hour mark, and colons in the time
    /// of day. Without colons, a minus sign and two digits are a number of the file and not an offset.
    pub(super) fn new(has_clock: bool, has_half_day: bool, has_colons: bool) -> Result<Self, String> {
        let more = if has_clock {
            r"(?:[:.-]?\d{2}){0,2}(?:[.,]\d{1,9})?"
        } else {
            r"[Tt_ -]?\d{2}(?:[:.-]?\d{2}){1,2}(?:[.,]\d{1,9})?"
        };
        let minus =
            if has_colons || !has_clock { r"-\d{2}:?\d{2}|-\d{2}" } else { r"-\d{2}:\d{2}|-\d{2}(?:00|15|30|45)" };
        let zones: Vec<_> = ABBREVIATIONS.iter().map(|(name, _)| *name).collect();
        let half_day = if has_half_day { "" } else { r"|[ _.-]?(?<half>(?i:am|pm))" };
        let expression = format!(
            r"^{more}(?:(?<offset>\+\d{{2}}(?::?\d{{2}})?|{minus}|Z)|[ _.-]?(?<zone>{}){half_day})(?:[^0-9A-Za-z]|$)",
            zones.join("|")
        );
        Regex::new(&expression).map(Self).map_err(|error| error.to_string())
    }

    /// Compares the text behind a time with the time. Returns a correction if the text gives the time another meaning;
    /// `None` if the text has none, or means the same.
    pub(super) fn contradiction(&self, after: &str, time: Timestamp, zone: &Zone) -> Option<String> {
        let found = self.0.captures(after)?;
        let expected = zone.0.to_offset(time).seconds();
        let zone_name = zone.0.iana_name().unwrap_or("UTC");
        if let Some(offset) = found.name("offset") {
            let offset = offset.as_str();
            return match offset_seconds(offset) {
                // Digits that are no offset.
                None => None,
                Some(seconds) if seconds == expected => None,
                Some(_) => Some(format!(
                    "`{offset}` follows the time, but the pattern does not read it and `time_zone` is {zone_name}: add \
                     %z to the end of the pattern"
                )),
            };
        }
        if let Some(abbreviation) = found.name("zone") {
            let abbreviation = abbreviation.as_str();
            let seconds = ABBREVIATIONS.iter().find(|(name, _)| *name == abbreviation).map(|(_, seconds)| *seconds);
            let is_same = seconds == Some(expected) || zone.0.to_offset_info(time).abbreviation() == abbreviation;
            return (!is_same).then(|| {
                format!("`{abbreviation}` follows the time, but `time_zone` is {zone_name}: correct `time_zone`")
            });
        }
        let half = found.name("half")?.as_str();
        Some(format!("`{half}` follows the time: write %I and %p in place of %H"))
    }
}
