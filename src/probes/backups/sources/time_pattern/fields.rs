//! The values of a time pattern in a name, and the time that they determine.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, ISOWeekDate, Time, Weekday},
    tz::Offset,
};

use super::directives::{Directive, TimeField};
use crate::probes::backups::sources::labels::Zone;

/// Values by field. A value that is not in the name is `None`.
#[derive(Debug, Default)]
pub(super) struct TimeFields {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i64>,
    week_year: Option<i16>,
    week: Option<i8>,
    weekday: Option<Weekday>,
    hour: Option<i8>,
    half_day_hour: Option<i8>,
    is_afternoon: bool,
    minute: Option<i8>,
    second: Option<i8>,
    /// Seconds east of UTC.
    offset: Option<i32>,
    epoch: Option<i64>,
}

/// First three letters of the months and of the days of the week, in lower case.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl TimeFields {
    /// Reads the values of the directives.
    pub(super) fn read<'a>(values: impl Iterator<Item = (&'a Directive, &'a str)>) -> Self {
        let mut fields = Self::default();
        for (directive, value) in values {
            fields.set(directive.field, value.trim_start());
        }
        fields
    }

    fn set(&mut self, field: TimeField, value: &str) {
        let small = value.parse::<i8>().ok();
        match field {
            TimeField::Year => self.year = value.parse().ok(),
            TimeField::ShortYear => {
                self.year = value.parse().ok().map(|year: i16| year + if year < 69 { 2_000 } else { 1_900 });
            }
            TimeField::Month => self.month = small,
            TimeField::MonthName => self.month = place(&MONTHS, value).map(|at| at + 1),
            TimeField::Day => self.day = small,
            TimeField::DayOfYear => self.day_of_year = value.parse().ok(),
            TimeField::WeekYear => self.week_year = value.parse().ok(),
            TimeField::Week => self.week = small,
            TimeField::Weekday => self.weekday = small.and_then(|day| Weekday::from_monday_one_offset(day).ok()),
            TimeField::WeekdayFromSunday => {
                self.weekday = small.and_then(|day| Weekday::from_sunday_zero_offset(day).ok());
            }
            TimeField::WeekdayName => {
                self.weekday = place(&WEEKDAYS, value).and_then(|at| Weekday::from_monday_zero_offset(at).ok());
            }
            TimeField::Hour => self.hour = small,
            TimeField::HalfDayHour => self.half_day_hour = small,
            TimeField::HalfDay => self.is_afternoon = value.starts_with(['p', 'P']),
            TimeField::Minute => self.minute = small,
            TimeField::Second => self.second = small,
            TimeField::Offset => self.offset = offset_seconds(value),
            TimeField::Epoch => self.epoch = value.parse().ok(),
        }
    }

    /// The time, in the time zone unless the name has an offset. `None` for a date or a clock that does not exist. A
    /// name without a time of day means midnight, and a week without a day means its Monday.
    pub(super) fn timestamp(&self, zone: &Zone) -> Option<Timestamp> {
        if let Some(seconds) = self.epoch {
            return Timestamp::from_second(seconds).ok();
        }
        let hour = match self.half_day_hour {
            Some(hour @ 1..=12) => hour % 12 + if self.is_afternoon { 12 } else { 0 },
            Some(_) => return None,
            None => self.hour.unwrap_or(0),
        };
        // A leap second is the second before it.
        let second = self.second.map_or(0, |second| if second == 60 { 59 } else { second });
        let clock = Time::new(hour, self.minute.unwrap_or(0), second, 0).ok()?;
        let at = self.date()?.to_datetime(clock);
        match self.offset {
            Some(offset) => Offset::from_seconds(offset).ok()?.to_timestamp(at).ok(),
            // A local time that a clock change skipped or repeated has the offset before the change.
            None => zone.0.to_ambiguous_timestamp(at).compatible().ok(),
        }
    }

    fn date(&self) -> Option<Date> {
        if let (Some(year), Some(week)) = (self.week_year, self.week) {
            return ISOWeekDate::new(year, week, self.weekday.unwrap_or(Weekday::Monday)).ok().map(ISOWeekDate::date);
        }
        let year = self.year?;
        let (Some(month), Some(day)) = (self.month, self.day) else {
            let days = SignedDuration::from_hours(24 * self.day_of_year?.checked_sub(1)?);
            return Date::new(year, 1, 1).ok()?.checked_add(days).ok().filter(|date| date.year() == year);
        };
        Date::new(year, month, day).ok()
    }
}

fn place(names: &[&str], value: &str) -> Option<i8> {
    let start = value.get(..3)?;
    names.iter().position(|name| name.eq_ignore_ascii_case(start)).and_then(|at| i8::try_from(at).ok())
}

/// Seconds east of UTC of `Z`, `+02`, `+0200`, `+02:00` or `+02:00:00`.
pub(super) fn offset_seconds(value: &str) -> Option<i32> {
    if value.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value.strip_prefix('+')?),
    };
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i32>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    (hours <= 15 && minutes < 60 && seconds < 60).then(|| sign * (hours * 3_600 + minutes * 60 + seconds))
}
