//! The directives of a time pattern.

/// Part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeField {
    Year,
    /// Year with two digits, from 1969 to 2068.
    ShortYear,
    Month,
    MonthName,
    Day,
    DayOfYear,
    /// Year to which an ISO 8601 week belongs.
    WeekYear,
    Week,
    /// Day of the week from 1, Monday, to 7.
    Weekday,
    /// Day of the week from 0, Sunday, to 6.
    WeekdayFromSunday,
    WeekdayName,
    Hour,
    /// Hour of a 12-hour clock.
    HalfDayHour,
    /// `AM` or `PM`.
    HalfDay,
    Minute,
    Second,
    /// Offset from UTC.
    Offset,
    /// Seconds since 1970.
    Epoch,
}

/// A directive with its padding, such as `%d` or `%-d`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directive {
    pub(super) field: TimeField,
    padding: Padding,
}

/// Padding of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Zero,
    /// A space, or no padding.
    Space,
    None,
}

/// English names and abbreviations, as the locale `C` writes them.
const MONTHS: &str = "(?i:January|February|March|April|June|July|August|September|October|November|December|Jan|Feb|Mar|\
                      Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const WEEKDAYS: &str = "(?i:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const KNOWN: &str = "%Y %y %m %b %B %d %e %j %G %V %u %a %H %I %p %M %S %F %T %R %z %s or %%";

/// Reads a pattern: directives, and the characters between them as errors of the inner results.
///
/// # Errors
/// A directive that is not supported, with an alternative.
pub(super) fn tokens(pattern: &str) -> Result<Vec<Result<Directive, char>>, String> {
    let pattern = pattern.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S").replace("%R", "%H:%M");
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            tokens.push(Err(c));
            continue;
        }
        let padding = match rest.next_if(|flag| "-_0".contains(*flag)) {
            Some('-') => Padding::None,
            Some('_') => Padding::Space,
            _ => Padding::Zero,
        };
        let has_colon = rest.next_if_eq(&':').is_some();
        let letter = rest.next().unwrap_or(' ');
        if letter == '%' && !has_colon {
            tokens.push(Err('%'));
            continue;
        }
        let field = field(letter).filter(|field| !has_colon || *field == TimeField::Offset);
        let field = field.ok_or_else(|| {
            let colon = if has_colon { ":" } else { "" };
            format!("`%{colon}{letter}` is not supported: {}", advice(letter))
        })?;
        let padding = if matches!(letter, 'e' | 'k' | 'l') { Padding::Space } else { padding };
        tokens.push(Ok(Directive { field, padding }));
    }
    Ok(tokens)
}

fn field(letter: char) -> Option<TimeField> {
    Some(match letter {
        'Y' => TimeField::Year,
        'y' => TimeField::ShortYear,
        'm' => TimeField::Month,
        'b' | 'B' | 'h' => TimeField::MonthName,
        'd' | 'e' => TimeField::Day,
        'j' => TimeField::DayOfYear,
        'G' => TimeField::WeekYear,
        'V' => TimeField::Week,
        'u' => TimeField::Weekday,
        'w' => TimeField::WeekdayFromSunday,
        'a' | 'A' => TimeField::WeekdayName,
        'H' | 'k' => TimeField::Hour,
        'I' | 'l' => TimeField::HalfDayHour,
        'p' | 'P' => TimeField::HalfDay,
        'M' => TimeField::Minute,
        'S' => TimeField::Second,
        'z' => TimeField::Offset,
        's' => TimeField::Epoch,
        _ => return None,
    })
}

fn advice(letter: char) -> String {
    match letter {
        'Z' => "the abbreviation of a time zone is ambiguous; set `time_zone`, or write %z into the names".to_owned(),
        'U' | 'W' => "write ISO 8601 weeks into the names, with %G and %V".to_owned(),
        'g' => "write ISO 8601 years with four digits, with %G".to_owned(),
        'D' | 'x' | 'X' | 'c' | 'r' => format!("write its parts, such as %F and %T; supported are {KNOWN}"),
        _ => format!("use {KNOWN}"),
    }
}

impl Directive {
    /// Expression of the values.
    pub(super) fn expression(self) -> &'static str {
        match (self.field, self.padding) {
            (TimeField::Year | TimeField::WeekYear, _) => r"\d{4}",
            (TimeField::MonthName, _) => MONTHS,
            (TimeField::WeekdayName, _) => WEEKDAYS,
            (TimeField::Weekday, _) => "[1-7]",
            (TimeField::WeekdayFromSunday, _) => "[0-6]",
            (TimeField::HalfDay, _) => "(?i:am|pm)",
            (TimeField::Offset, _) => r"(?:[Zz]|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)",
            (TimeField::Epoch, _) => r"\d{9,11}",
            (TimeField::DayOfYear, Padding::Zero) => r"\d{3}",
            (TimeField::DayOfYear, Padding::Space) => r"(?:  \d| \d{2}|\d{1,3})",
            (TimeField::DayOfYear, Padding::None) => r"\d{1,3}",
            (_, Padding::Zero) => r"\d{2}",
            (_, Padding::Space) => r"(?: \d|\d{1,2})",
            (_, Padding::None) => r"\d{1,2}",
        }
    }
}

/// Requires that the fields of a pattern determine a day, and that the clock is unambiguous.
///
/// # Errors
/// A missing or ambiguous field, with the correction.
pub(super) fn require_one_time(pattern: &str, has: impl Fn(TimeField) -> bool) -> Result<(), String> {
    use TimeField as F;
    if has(F::Epoch) {
        return Ok(());
    }
    if has(F::Week) && !has(F::WeekYear) {
        return Err(format!(
            "`{pattern}`: an ISO 8601 week belongs to the year %G, which differs from %Y around New Year: write %G with \
             %V"
        ));
    }
    let month = has(F::Month) || has(F::MonthName);
    let year = has(F::Year) || has(F::ShortYear);
    if !(has(F::WeekYear) && has(F::Week) || year && (has(F::DayOfYear) || month && has(F::Day))) {
        return Err(format!(
            "`{pattern}` does not determine a day: it needs a year, a month and a day, as in %Y%m%d, or a year and a \
             week, as in %G-W%V, or %s"
        ));
    }
    match (has(F::HalfDayHour), has(F::HalfDay), has(F::Hour)) {
        (true, false, _) => Err(format!("`{pattern}`: %I is the hour of a 12-hour clock: add %p, or write %H")),
        (false, true, _) => Err(format!("`{pattern}`: %p belongs to a 12-hour clock: write %I in place of %H")),
        (true, true, true) => Err(format!("`{pattern}` has two hours: write either %H, or %I and %p")),
        _ => Ok(()),
    }
}
