//! Names as `date` and backup programs write them.

use std::process::Command;

use super::*;

fn find(pattern: &str, name: &str, zone: &str) -> Option<String> {
    found(&NamePattern::try_from(pattern.to_owned()).unwrap(), name, zone)
}

fn found(pattern: &NamePattern, name: &str, zone: &str) -> Option<String> {
    match pattern.find(name, &Zone::try_from(zone.to_owned()).unwrap()) {
        NameTime::At(time) => Some(time.to_string()),
        NameTime::Cut(text) => Some(text),
        NameTime::Missing => None,
    }
}

#[test]
fn a_time_is_found_anywhere_in_a_name() {
    for (pattern, name, zone, expected) in [
        ("%Y%m%dT%H%M%S", "orders-20261121T020000Z.dump", "UTC", Some("2026-11-21T02:00:00Z")),
        ("orders-%Y%m%d", "orders-20261121.dump", "UTC", Some("2026-11-21T00:00:00Z")),
        ("orders-%Y%m%d", "users-20261121.dump", "UTC", None),
        ("%F/orders-%H%M", "2026-11-21/orders-0230.dump", "UTC", Some("2026-11-21T02:30:00Z")),
        ("%Y%m%d", "db123420261121-20261122.dump", "UTC", Some("2026-11-22T00:00:00Z")),
        ("%Y%m%d", "orders-20261399-20261121.dump", "UTC", Some("2026-11-21T00:00:00Z")),
        ("%s", "orders.1795232108.gz", "UTC", Some("2026-11-21T03:35:08Z")),
        ("%Y-%m-%d_%H-%M-%S%z", "a_2026-11-21_02-00-00+0200.zst", "UTC", Some("2026-11-21T00:00:00Z")),
        ("%d%b%y", "x-21Nov26.sql", "UTC", Some("2026-11-21T00:00:00Z")),
        // Local time: summer, winter, an hour that does not exist and one that comes twice.
        ("%Y%m%d%H%M", "202607010200", "Europe/Berlin", Some("2026-07-01T00:00:00Z")),
        ("%Y%m%d%H%M", "202612010200", "Europe/Berlin", Some("2026-12-01T01:00:00Z")),
        ("%Y%m%d%H%M", "202603290230", "Europe/Berlin", Some("2026-03-29T01:30:00Z")),
        ("%Y%m%d%H%M", "202610250230", "Europe/Berlin", Some("2026-10-25T00:30:00Z")),
        // Offsets in every form.
        ("%FT%T%z", "a-2026-11-21T02:00:00+02:00.sql", "UTC", Some("2026-11-21T00:00:00Z")),
        ("%FT%T%:z", "a-2026-11-21T02:00:00-0530.sql", "UTC", Some("2026-11-21T07:30:00Z")),
        ("%FT%T%z", "a-2026-11-21T02:00:00Z.sql", "Europe/Berlin", Some("2026-11-21T02:00:00Z")),
        ("%FT%T%z", "a-2026-11-21T02:00:00+02.sql", "UTC", Some("2026-11-21T00:00:00Z")),
        ("%FT%T%z", "a-2026-11-21T02:00:00.sql", "UTC", None),
        ("%FT%T%z", "a-2026-11-21T02:00:00+99:00.sql", "Europe/Berlin", Some("2026-11-21T01:00:00Z")),
        // 12-hour clocks, names of months, weeks, days of the year, padding.
        ("%Y%m%d-%I%M%p", "a-20261121-1230AM.sql", "UTC", Some("2026-11-21T00:30:00Z")),
        ("%Y%m%d-%I%M%p", "a-20261121-1230pm.sql", "UTC", Some("2026-11-21T12:30:00Z")),
        ("%Y%m%d-%I%M%p", "a-20261121-1330pm.sql", "UTC", None),
        ("%d-%B-%Y", "a-02-September-2026.sql", "UTC", Some("2026-09-02T00:00:00Z")),
        ("%d-%B-%Y", "a-02-MAY-2026.sql", "UTC", Some("2026-05-02T00:00:00Z")),
        ("%a %b %e %Y", "Sat Nov  7 2026.sql", "UTC", Some("2026-11-07T00:00:00Z")),
        ("%-d.%-m.%Y", "7.1.2026.sql", "UTC", Some("2026-01-07T00:00:00Z")),
        ("%G-W%V-%u", "2026-W53-7.tar", "UTC", Some("2027-01-03T00:00:00Z")),
        ("%G-W%V", "2027-W01.tar", "UTC", Some("2027-01-04T00:00:00Z")),
        ("%Y-%j", "2028-366.tar", "UTC", Some("2028-12-31T00:00:00Z")),
        ("%Y-%j", "2026-366.tar", "UTC", None),
    ] {
        assert_eq!(find(pattern, name, zone).as_deref(), expected, "{pattern} in {name}");
    }
}

#[test]
fn a_time_before_an_offset_or_a_zone_is_not_cut_out_of_it() {
    for (pattern, name, zone, expected) in [
        ("%FT%T", "a-2026-11-21T02:00:00+02:00.sql", "UTC", "add %z"),
        ("%FT%T", "a-2026-11-21T02:00:00+02:00", "UTC", "add %z"),
        ("%FT%T", "a-2026-11-21T02:00:00-05.sql", "UTC", "add %z"),
        ("%FT%T", "a-2026-11-21T02:00:00.123456+02:00.sql", "UTC", "add %z"),
        ("%FT%R", "a-2026-11-21T02:00:30-05:00.sql", "UTC", "add %z"),
        ("%F", "a-2026-11-21T02:00:00+02:00.sql", "UTC", "add %z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000-0500.sql", "UTC", "add %z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000Z.sql", "Europe/Berlin", "add %z"),
        ("%F_%H-%M", "a-2026-11-21_02-00_UTC.sql", "Europe/Berlin", "correct `time_zone`"),
        ("%F_%H-%M", "a-2026-11-21_02-00-CET.sql", "UTC", "correct `time_zone`"),
        ("%F-%H%M", "a-2026-11-21-0230PM.sql", "UTC", "write %I and %p"),
        ("%F-%H%M", "a-2026-11-21-0230_pm.sql", "UTC", "write %I and %p"),
    ] {
        let found = find(pattern, name, zone).unwrap();
        assert!(found.contains(expected), "{pattern} in {name}: {found}");
    }
    // The rest of the name has no meaning for the time, or the same one.
    for (pattern, name, zone, expected) in [
        ("%FT%T", "a-2026-11-21T02:00:00+00:00.sql", "UTC", "2026-11-21T02:00:00Z"),
        ("%FT%T", "a-2026-11-21T02:00:00+01:00.sql", "Europe/Berlin", "2026-11-21T01:00:00Z"),
        ("%F_%H-%M", "a-2026-11-21_02-00-CET.sql", "Europe/Berlin", "2026-11-21T01:00:00Z"),
        ("%F", "a-2026-11-21-0500.sql", "UTC", "2026-11-21T00:00:00Z"),
        ("%F", "a-2026-11-21-02-00-00.sql", "UTC", "2026-11-21T00:00:00Z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000-01.sql", "UTC", "2026-11-21T02:00:00Z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000-0001.sql", "UTC", "2026-11-21T02:00:00Z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000-2500.sql", "UTC", "2026-11-21T02:00:00Z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000-amended.sql", "UTC", "2026-11-21T02:00:00Z"),
        ("%Y%m%dT%H%M%S", "a-20261121T020000-Zebra.sql", "UTC", "2026-11-21T02:00:00Z"),
    ] {
        assert_eq!(find(pattern, name, zone).as_deref(), Some(expected), "{pattern} in {name}");
    }
}

/// GNU `date` writes a name for each supported form, and the pattern must read the same second again.
#[test]
fn names_written_by_date_are_read_back() {
    let forms = [
        "%FT%T%z",
        "%FT%T%:z",
        "%FT%T%:::z",
        "%Y%m%dT%H%M%S%z",
        "%d-%B-%Y_%I-%M-%S-%p",
        "%e %b %Y %l:%M:%S %P",
        "%Y-%j-%T",
        "%G-W%V-%u-%H%M%S",
        "%a-%-d-%b-%y-%-H-%M-%S",
        "%s",
        "%G%V%a%T",
        "%_d.%_m.%Y %k.%M.%S",
        "%A,%d.%h.%Y,%R:%S",
    ];
    let mut compared = 0;
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"] {
        let seconds = (0..20).map(|n| 1_700_000_000 + n * 16_003_333);
        let lines: Vec<_> = seconds.clone().map(|second| format!("@{second}\n")).collect();
        for form in forms {
            let mut date = Command::new("date");
            date.env("TZ", zone).env("LC_ALL", "C").args(["-f", "/dev/stdin", &format!("+{form}")]);
            let mut child =
                date.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.concat().as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let pattern = NamePattern::try_from(form.replace(":::z", "z")).unwrap();
            for (name, second) in std::str::from_utf8(&output.stdout).unwrap().lines().zip(seconds.clone()) {
                let expected = Timestamp::from_second(second).unwrap().to_string();
                let found = found(&pattern, &format!("orders-{name}.sql"), zone);
                assert_eq!(found, Some(expected), "{form} wrote {name} in {zone}");
                compared += 1;
            }
        }
    }
    println!("{compared} names compared with date");
}

#[test]
fn patterns_that_can_not_work_are_refused_with_the_correction() {
    for (bad, correction) in [
        ("", "year"),
        ("%H%M", "year"),
        ("%Y%m", "day"),
        ("%Y%m%d%Q", "not supported"),
        ("%Y%m%d%", "not supported"),
        ("orders", "day"),
        ("%Y%m%d-%I%M", "add %p"),
        ("%Y%m%d-%H%M%p", "%I"),
        ("%Y%m%d-%H%I%p", "two hours"),
        ("%Y-W%V", "write %G"),
        ("%G", "day"),
        ("%FT%T%Z", "time_zone"),
        ("%Y-%U", "%V"),
        ("%:Y%m%d", "%:Y"),
        ("%c", "%F"),
    ] {
        let error = NamePattern::try_from(bad.to_owned()).unwrap_err();
        assert!(error.contains(correction), "{bad}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_name_makes_the_search_panic(name in r"[-+:0-9TZ%._ apAPMmNov]{0,60}", pattern in r"(%[YmdHMSzIpBbejVGus]|-|:){0,12}") {
        if let Ok(pattern) = NamePattern::try_from(pattern) {
            let _ = pattern.find(&name, &Zone::default());
        }
    }
}
