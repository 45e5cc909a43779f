//! Two targets of one owner: one is given a token, both say it back, in every common encoding.

use std::{
    fmt::Write as _,
    io::Write,
    sync::{Arc, Mutex},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::vitals::Vitals;
use crate::harness::{
    daemon::{Daemon, Home},
    service::{Service, http_response},
    wait_until,
};

const FORMS: [&str; 13] = [
    "plain", "upper", "percent", "partial", "form", "base64", "url64", "pair", "hex", "unicode", "slash", "html",
    "twice",
];

/// Each form in which a target says a token back.
fn forms(token: &str) -> Value {
    let each = |encode: &dyn Fn(usize, u8) -> String| -> String {
        token.bytes().enumerate().map(|(at, byte)| encode(at, byte)).collect()
    };
    let percent = |at: usize, byte: u8| match at % 2 {
        0 => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    json!({
        "plain": token,
        "upper": token.to_uppercase(),
        "percent": each(&percent),
        "partial": each(&|at, byte| if at % 3 == 1 { percent(at, byte) } else { char::from(byte).to_string() }),
        "form": token.replace(' ', "+").replace('/', "%2F"),
        "base64": STANDARD.encode(token),
        "url64": URL_SAFE_NO_PAD.encode(format!("x{token}y")),
        "pair": format!("Basic {}", STANDARD.encode(format!("monitor:{token}"))),
        "hex": each(&|_, byte| format!("{byte:02X}")),
        "unicode": each(&|_, byte| format!("\\u{byte:04x}")),
        "slash": token.replace('/', "\\/"),
        "html": each(&|at, byte| if at % 2 == 0 { format!("&#x{byte:x};") } else { format!("&#{byte};") }),
        "twice": STANDARD.encode(STANDARD.encode(token)),
    })
}

fn probes() -> String {
    let quoting = FORMS.iter().fold(String::new(), |mut text, form| {
        let _ = writeln!(text, "        - {{name: {form}, response: {{expect: [{{json: $.{form}, equals: ok}}]}}}}");
        text
    });
    format!(
        "
    - name: given
      http: {{url: \"${{GIVEN}}\", bearer_token_file: \"${{HOME_FOLDER}}/token\"}}
      checks: &quoting
{quoting}
    - name: other
      http: {{url: \"${{OTHER}}\"}}
      checks: *quoting
    - name: pools
      metrics: {{url: \"${{OTHER}}pools\"}}
      checks: [{{pool: {{used: used, size: size, max_utilization: 90%}}}}]
    "
    )
}

/// Says the last token that either was given.
fn conspire(service: &Service, token: &Arc<Mutex<String>>) {
    let token = Arc::clone(token);
    service.set_behaviour(move |stream, head, _| {
        if let Some(line) = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")) {
            *token.lock().unwrap() = line.trim().to_owned();
        }
        let forms = forms(&token.lock().unwrap());
        if head.contains("/pools") {
            let page = ["plain", "upper", "hex", "base64"].iter().fold(String::new(), |mut page, form| {
                let label = forms[form].as_str().unwrap();
                let _ = writeln!(page, "used{{pool=\"{label}\"}} 10\nsize{{pool=\"{label}\"}} 10");
                page
            });
            return stream.write_all(&http_response(
                "200 OK",
                "Content-Type: text/plain; version=0.0.4\r\n",
                page.as_bytes(),
            ));
        }
        stream.write_all(&http_response("200 OK", "Content-Type: application/json\r\n", forms.to_string().as_bytes()))
    });
}

fn assert_hidden(daemon: &Daemon, tokens: &[&str]) {
    let pages = ["/", "/metrics", "/api/v1/status", "/api/v1/checks"].map(|path| (path, daemon.get(path).text()));
    for (place, text) in pages.into_iter().chain([("the log", daemon.log())]) {
        for token in tokens {
            for (name, form) in forms(token).as_object().unwrap() {
                let form = form.as_str().unwrap();
                // As it is, and as JSON and logfmt write it.
                let quoted = format!("{form:?}");
                for form in [form, quoted.trim_matches('"')] {
                    let line = text.lines().find(|line| line.contains(form));
                    assert!(line.is_none(), "{name} of {token} in {place}: {line:?}");
                }
            }
        }
    }
}

fn wait_for_token(seen: &Arc<Mutex<String>>, daemon: &Daemon, token: &str) {
    wait_until("the token was sent", || match seen.lock().unwrap().clone() {
        seen if seen == token => Ok(()),
        seen => Err(seen),
    });
    let runs = ["given", "other", "pools"].map(|probe| daemon.runs(probe));
    wait_until("each has run twice since", || {
        let now = ["given", "other", "pools"].map(|probe| daemon.runs(probe));
        if runs.iter().zip(now).all(|(before, now)| now >= before + 2.0) { Ok(()) } else { Err(format!("{now:?}")) }
    });
}

#[test]
fn a_token_that_one_target_tells_another_shows_in_no_encoding_and_not_after_a_rotation() {
    let (given, other, seen) = (Service::start(), Service::start(), Arc::default());
    conspire(&given, &seen);
    conspire(&other, &seen);
    let home = Home::new(&[&probes()]).with("GIVEN", given.url()).with("OTHER", other.url());
    let (first, second) = ("Tok3n/Of the-Shop", "R0tated/And the-Next");
    home.write("token", format!("\u{feff}{first}\n"));
    let daemon = home.serve_with(&["--log.level", "debug"]);
    let vitals = Vitals::watch(&daemon);
    wait_for_token(&seen, &daemon, first);
    for probe in ["given", "other"] {
        for form in FORMS {
            let summary = daemon.check(&format!("{probe}/{form}")).summary;
            assert!(summary.contains("<hidden>"), "{probe}/{form}: {summary}");
        }
    }
    assert_hidden(&daemon, &[first]);
    // Series that differ only in the secret are one: a page with two of them is refused as a whole.
    let metrics = daemon.get("/metrics").text();
    let pools: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("readiness_pool_connections{probe=\"pools\"")).collect();
    let states: std::collections::BTreeSet<_> = pools.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert!(!pools.is_empty() && pools.len() == states.len(), "{pools:#?}");

    // After the rotation one of them still says the old one.
    home.write("token", second);
    wait_for_token(&seen, &daemon, second);
    let old = Arc::new(Mutex::new(first.to_owned()));
    conspire(&other, &old);
    wait_for_token(&seen, &daemon, second);
    assert!(daemon.check("other/base64").summary.contains("<hidden>"));
    assert_hidden(&daemon, &[first, second]);
    let signs = vitals.end();
    signs.assert_alive("echoes of a token");
    signs.assert_memory_below(100);
    daemon.terminate();
    let saved = std::fs::read_to_string(home.path("state/state.json")).unwrap();
    for form in forms(first).as_object().unwrap().values() {
        assert!(!saved.contains(form.as_str().unwrap()), "{form} in the state");
    }
}
