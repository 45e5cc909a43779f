use super::*;

/// The sample in one line, or the mistake.
fn read(line: &str, format: Format) -> String {
    let mut labels = String::new();
    let add = |_, name, value| {
        labels += &format!("{name}={}|", unescape(value));
        Ok(())
    };
    match parse_sample(line, format, add) {
        Ok(ScrapedSample { name, value, at: None }) => format!("{name} {labels} {value}"),
        Ok(ScrapedSample { name, value, at: Some(at) }) => format!("{name} {labels} {value} @{at}"),
        Err(ParseError { at, what, .. }) => format!("{at}: {what}"),
    }
}

#[test]
fn the_text_format_is_read_as_prometheus_reads_it() {
    for (line, expected) in [
        ("up 1", "up  1"),
        ("up{} 1", "up  1"),
        ("up{a=\"b\"} 1.5e3", "up a=b| 1500"),
        ("up{a=\"b\",c=\"d\",} -1", "up a=b|c=d| -1"),
        ("up { a = \"b\" , c=\"d\" } \t 1 \t 1395066363000 ", "up a=b|c=d| 1 @1395066363000"),
        (" up 1", "0: a blank before the name of a metric: remove it"),
        ("\tup 1", "0: a blank before the name of a metric: remove it"),
        ("up{a=\"b\"}1", "up a=b| 1"),
        ("up{a=\"\\\\ \\\" \\n \\x\"} 1", "up a=\\ \" \n \\x| 1"),
        ("up{a=\"{}, =\"} 1", "up a={}, =| 1"),
        ("up{a=\"é\"} NaN", "up a=é| NaN"),
        ("a:b +Inf", "a:b  inf"),
        ("up -inf 5", "up  -inf @5"),
        ("up -inf -5", "8: expected the end of the line after value and timestamp"),
        ("up +NaN", "3: expected a number as value"),
        ("up -nan", "3: expected a number as value"),
        ("up{a=\"b\nc\"} 1", "up a=b\nc| 1"),
        ("up{a=\"b\\\nc\"} 1", "6: this quote is not closed in its line"),
        ("up nan", "up  NaN"),
        ("{\"http.ms\",a=\"b\"} 1", "http.ms a=b| 1"),
        ("{a=\"b\",\"http.ms\"} 1", "http.ms a=b| 1"),
        ("up{\"a.b\"=\"c\"} 1", "up a.b=c| 1"),
        ("up", "2: expected a number as value"),
        ("up{a=\"b\"}", "9: expected a number as value"),
        ("up x", "3: expected a number as value"),
        ("up 1_000", "3: expected a number as value"),
        ("up 1e999", "3: expected a number as value"),
        ("up 0x10", "3: expected a number as value"),
        ("up 1\r", "3: lines end with LF alone here, not with CR LF"),
        ("up 1 5.5", "5: expected a timestamp in milliseconds, as digits"),
        ("up 1 5x", "5: expected a timestamp in milliseconds, as digits"),
        ("up 1 5 6", "7: expected the end of the line after value and timestamp"),
        ("up 1 # {a=\"b\"} 1", "5: expected the end of the line after value and timestamp"),
        ("5xx 1", "0: expected the name of a metric"),
        ("up-time 1", "2: expected a number as value"),
        ("up{a=\"b} 1", "6: this quote is not closed in its line"),
        ("up{a=\"b\\\"} 1", "6: this quote is not closed in its line"),
        ("up{a=\"b\\", "6: this quote is not closed in its line"),
        ("up{a=b} 1", "5: expected a value in double quotes"),
        ("up{a} 1", "4: expected `=` after the name of a label"),
        ("up{a:b=\"c\"} 1", "4: expected `=` after the name of a label"),
        ("up{=\"b\"} 1", "3: expected the name of a label"),
        ("up{,} 1", "3: expected the name of a label"),
        ("up{a=\"b\"c=\"d\"} 1", "up a=b|c=d| 1"),
        ("up{a=\"b\" c=\"d\"} 1", "up a=b|c=d| 1"),
        ("up{a=\"b\";c=\"d\"} 1", "8: expected `,` or `}` after a label"),
        ("up{a=\"b\"", "8: expected `,` or `}` after a label"),
        ("up{\"x\"} 1", "6: expected `=` after the name of a label"),
        ("{\"x\",\"y\"} 1", "8: expected `=` after the name of a label"),
        ("{a=\"b\"} 1", "7: expected the name of a metric"),
    ] {
        assert_eq!(read(line, Format::Text), expected, "{line:?}");
    }
}

#[test]
fn openmetrics_is_read_strictly_and_with_exemplars() {
    for (line, expected) in [
        ("up 1", "up  1"),
        ("up{a=\"b\"} 1 1395066363.5", "up a=b| 1 @1395066363500"),
        ("up 1 +1", "up  1 @1000"),
        ("up 1 NaN", "5: expected a timestamp in seconds, as a number"),
        ("up{a=\"b\"c=\"d\"} 1", "8: expected `,` or `}` after a label"),
        ("x_bucket{le=\"1\"} 8 # {trace_id=\"k\"} 0.67", "x_bucket le=1| 8"),
        ("x_bucket{le=\"1\"} 8 5.1 # {} 0.67 152.3", "x_bucket le=1| 8 @5100"),
        ("{\"http.ms\",\"a.b\"=\"c\"} 1", "http.ms a.b=c| 1"),
        ("up  1", "3: expected a number as value"),
        (" up 1", "0: a blank before the name of a metric: remove it"),
        ("up\t1", "2: expected one space before the value"),
        ("up 1 ", "5: expected the end of the line or an exemplar, ` # {..} value`"),
        ("up 1 # x", "7: expected the end of the line or an exemplar, ` # {..} value`"),
        ("up 1 # {a=\"b\"}", "14: expected one space before the value"),
        ("up 1 # {a=\"b\"} x", "15: expected a number as value"),
        ("up{a = \"b\"} 1", "4: expected `=` after the name of a label"),
    ] {
        assert_eq!(read(line, Format::OpenMetrics), expected, "{line:?}");
    }
}
