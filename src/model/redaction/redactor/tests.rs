use std::{fmt::Write, sync::Arc, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{prelude::*, sample::Index};
use serde_json::json;
use url::form_urlencoded;

use super::*;
use crate::model::redaction::{SecretRegistry, SentSecrets};

fn hidden(add: impl FnOnce(&mut SentSecrets), text: &str) -> String {
    let (registry, mut secrets, mut text) = (Arc::<SecretRegistry>::default(), SentSecrets::default(), text.to_owned());
    add(&mut secrets);
    let held = registry.register(secrets);
    registry.with_redactor([&held], |redactor| redactor.redact(&mut text));
    text
}

#[test]
fn a_secret_is_hidden_as_it_was_sent_and_as_it_is_quoted() {
    let says = |text| hidden(|it| it.add_credential("hun\"ter2"), text);
    assert_eq!(says("$.status is \"hun\\\"ter2\", or hun\"ter2"), "$.status is \"<hidden>\", or <hidden>");
    assert_eq!(says("all is well..."), "all is well...");
    let basic = |text| hidden(|it| it.add_basic_auth("user", "hunter2"), text);
    assert_eq!(basic("Basic dXNlcjpodW50ZXIy user:hunter2"), "Basic <hidden> user:<hidden>");
    assert_eq!(hidden(|it| it.add_credential("ok1"), "status is ok1"), "status is ok1", "too short to guard anything");
}

#[test]
fn credentials_in_a_header_are_redacted_and_other_values_stay() {
    let header = |name, value, text| hidden(|it| it.add_header(name, value), text);
    assert_eq!(header("Authorization", "Token abcd", "bad Token abcd; abcd"), "bad <hidden>; <hidden>");
    assert_eq!(header("cookie", "session=9f8e7d6c5b; a=b", "no session 9f8e7d6c5b"), "no session <hidden>");
    let json = "application/json";
    assert_eq!(header("Accept", json, "content-type is application/json"), "content-type is application/json");
}

#[test]
fn secrets_in_a_query_and_in_a_body_are_redacted() {
    let query = |text| hidden(|it| it.add_query("verbose=true&api_key=a%2Fbc&id=1234567a"), text);
    assert_eq!(query("true a/bc a%2Fbc 1234567a"), "true <hidden> <hidden> <hidden>");
    let sent = |text| hidden(|it| it.add_sent_text("AUTH monitor hunter2-2\r\n"), text);
    assert_eq!(sent("unknown command AUTH monitor hunter2-2"), "unknown command <hidden>");
    assert_eq!(sent("wrong password hunter2-2 of monitor"), "wrong password <hidden> of monitor");
}

#[test]
fn the_beginning_of_a_secret_is_hidden_where_an_excerpt_ends() {
    let says = |text| hidden(|it| it.add_credential("eyJhbGciOiJIUzI1NiJ9"), text);
    assert_eq!(says("it is \"Bearer eyJhbGci..., expected x"), "it is \"Bearer <hidden>..., expected x");
    assert_eq!(says("the answer \"eyJhb\"... and eyJhb…"), "the answer \"<hidden>\"... and <hidden>…");
    assert_eq!(says("eyJ... is three letters"), "eyJ... is three letters");
    let says = |text| hidden(|it| it.add_credential("hunter2-password"), text);
    assert_eq!(says("is \"hunter2%2Dpa%7..., expected"), "is \"<hidden>%7..., expected");
    assert_eq!(says("is \"dXNlcjpodW50ZXIyLXBhc..., expected"), "is \"dXNlcj<hidden>..., expected");
    assert_eq!(says("is 68756e746572322d..., expected"), "is <hidden>..., expected");
}

#[test]
fn of_a_secret_that_was_encoded_twice_no_remainder_stays() {
    for secret in ["hunter2-a", "hunter2-ab", "hunter2-abc", "hunter2-abcd", "hunter2-abcde"] {
        let twice = STANDARD.encode(STANDARD.encode(secret));
        for text in [twice.clone(), utf8_percent_encode(&twice, NON_ALPHANUMERIC).to_string()] {
            assert_eq!(
                hidden(|it| it.add_credential(secret), &format!("is \"{text}\"")),
                "is \"<hidden>\"",
                "{secret}"
            );
        }
    }
}

#[test]
fn every_text_of_a_document_is_looked_at() {
    let (registry, mut secrets) = (Arc::<SecretRegistry>::default(), SentSecrets::default());
    secrets.add_credential("hunter2");
    assert!(!format!("{secrets:?}").contains("hunter2"));
    let held = registry.register(secrets);
    let mut facts = json!({"headers": {"x-echo": ["hunter2", 2], "x-hunter2": ["a"]}});
    registry.with_redactor([&held], |redactor| redactor.redact_document(&mut facts));
    assert_eq!(facts, json!({"headers": {"x-echo": ["<hidden>", 2], "x-<hidden>": ["a"]}}));
}

#[test]
fn ordinary_words_of_one_probe_are_not_hidden_from_the_findings_of_others() {
    let (registry, mut first) = (Arc::<SecretRegistry>::default(), SentSecrets::default());
    first.add_header("X-Tenant", "shop");
    first.add_header("X-Api-Key", "key1");
    first.add_sent_text("PING");
    let (first, second) = (registry.register(first), registry.register(SentSecrets::default()));
    let said = |held| {
        let mut text = "shop PING key1".to_owned();
        registry.with_redactor([held], |redactor| redactor.redact(&mut text));
        text
    };
    assert_eq!(said(&first), "<hidden> <hidden> <hidden>");
    assert_eq!(said(&second), "shop PING <hidden>");
}

/// A right guess must look like a wrong one: in each encoding, before each mark of a cut, at each length.
#[test]
fn beginnings_of_the_secret_of_another_probe_are_no_oracle() {
    let (registry, mut neighbour, mut own) =
        (Arc::<SecretRegistry>::default(), SentSecrets::default(), SentSecrets::default());
    let secret = "hvs.caesij7xq93lk0pq-vault";
    neighbour.add_credential(secret);
    own.add_credential("another-password");
    let _neighbour = registry.register(neighbour);
    let own = registry.register(own);
    let said = |text: &str| {
        let mut text = text.to_owned();
        registry.with_redactor([&own], |redactor| redactor.redact(&mut text));
        text
    };
    let hex = |text: &str| text.bytes().fold(String::new(), |out, byte| out + &format!("{byte:02x}"));
    let encodings: [&dyn Fn(&str) -> String; 5] = [
        &str::to_owned,
        &|text| STANDARD_NO_PAD.encode(text),
        &hex,
        &|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        &|text| format!("{text}%7"),
    ];
    for length in MIN_LENGTH..secret.len() {
        let right = &secret[..length];
        for guess in [right.to_owned(), format!("{}?", &right[..length - 1])] {
            for encode in encodings {
                for cut in ["...", "\u{2026}", "\"...", "\u{fffd}..."] {
                    let text = format!("[1]{}{cut} [2]", encode(&guess));
                    assert_eq!(said(&text), text);
                }
            }
        }
    }
    assert_eq!(said(&format!("it is {secret}...")), "it is <hidden>...", "whole, it is hidden");
    assert_eq!(said("it is another-pass..."), "it is <hidden>...", "the target knows the probe's own secret");
}

#[test]
fn honest_text_stays_as_it_is() {
    let add = |it: &mut SentSecrets| {
        ["s3cr3t", "Tr0ub4dor&3", "correct horse"].into_iter().for_each(|text| it.add_credential(text))
    };
    for text in [
        "https://shop.example/a%20b?c=d&e=f answered with status 503, expected 2xx",
        "connection refused (127.0.0.1:5432: connection refused; [::1]:5432: connection refused)",
        "certificate 3f:a2:9c:00:11:22:33:44:55 of CN=shop expires 2026-11-27T18:00:00Z",
        "$.status is \"degraded\\n\", expected \"ok\"; the answer is \"VGhpcyBpcyBub3QgYSBzZWNyZXQ=\"",
    ] {
        assert_eq!(hidden(add, text), text);
    }
}

#[test]
fn a_text_that_takes_endless_decoding_is_hidden_as_a_whole() {
    let nested = (0..3).fold("a".repeat(9_000), |text, _| {
        text.bytes().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    });
    let start = std::time::Instant::now();
    let said = hidden(|it| it.add_credential("hunter2"), &nested);
    assert!(said == MARK || said == nested);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn ten_thousand_secrets_cost_about_as_much_as_ten() {
    let text = "https://shop.example/health answered with status 503 in 12ms, expected 2xx; token-".repeat(20);
    let time = |count: usize| {
        let (registry, mut secrets) = (Arc::<SecretRegistry>::default(), SentSecrets::default());
        (0..count).for_each(|n| secrets.add_credential(&format!("token-{n}-{}", n * 7_919)));
        let held = registry.register(secrets);
        let once = || {
            let (start, mut text) = (std::time::Instant::now(), text.clone());
            registry.with_redactor([&held], |redactor| assert!(!redactor.redact(&mut text)));
            start.elapsed()
        };
        (0..20).map(|_| once()).min().unwrap()
    };
    let (few, many) = (time(10), time(10_000));
    println!("{} bytes: {few:?} with ten secrets, {many:?} with ten thousand", text.len());
    assert!(many < few * 4, "{many:?} rather than {few:?}");
}

/// Encodings of a target, each with what chooses between its variants.
pub(crate) fn encoded(secret: &str, user: &str, way: usize, choices: &[Index]) -> String {
    let choose = |at: usize, of: usize| choices[at % choices.len()].index(of);
    let each = |letter: &dyn Fn(char, usize) -> String| {
        secret.chars().enumerate().map(|(at, c)| letter(c, choose(at, 3))).collect::<String>()
    };
    let percent = |c: char| c.to_string().bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
    let pair = format!("{user}:{secret}{user}");
    match way {
        0 => secret.to_owned(),
        1 => secret.to_ascii_uppercase(),
        2 => each(&|c, n| if n == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }.to_string()),
        3 => utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        // Partly encoded, its digits in either case. What begins an escape must be escaped.
        4 => each(&|c, n| match (c, n) {
            ('%', _) | (_, 0) => percent(c),
            (_, 1) => percent(c).to_ascii_uppercase(),
            _ => c.to_string(),
        }),
        5 => form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        6 => STANDARD.encode(secret),
        7 => URL_SAFE_NO_PAD.encode(secret),
        8 => STANDARD.encode(&pair),
        9 => STANDARD_NO_PAD.encode(&pair),
        10 => URL_SAFE.encode(&pair),
        11 => secret.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
        12 => secret.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02X}:")),
        13 => each(&|c, n| match (c, n) {
            ('/', 1) => "\\/".to_owned(),
            ('\\' | '"', _) | (_, 0) => {
                c.encode_utf16(&mut [0; 2]).iter().fold(String::new(), |text, unit| text + &format!("\\u{unit:04x}"))
            }
            _ => c.to_string(),
        }),
        14 => each(&|c, n| match (c, n) {
            ('&', 0 | 1) => "&amp;".to_owned(),
            ('&', _) | (_, 0) => format!("&#x{:x};", c as u32),
            (_, 1) => format!("&#{};", c as u32),
            _ => c.to_string(),
        }),
        15 => utf8_percent_encode(&STANDARD.encode(&pair), NON_ALPHANUMERIC).to_string(),
        16 => STANDARD.encode(STANDARD.encode(secret)),
        17 => format!("{:?}", serde_json::to_string(secret).unwrap()),
        _ => secret.to_lowercase(),
    }
}

/// The number of encodings.
pub(crate) const WAYS: usize = 19;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_shows_in_no_common_encoding(
        secret in "[ -~]{4,40}|[a-z]{4,9}|[a-zA-Z0-9+/=%&\\\\ ]{8,24}|[äöüßÄé€😀a-z0-9]{4,12}",
        user in "[a-z]{0,5}",
        before in "[a-z .:/=]{0,12}",
        choices in prop::collection::vec(any::<Index>(), 1..12),
    ) {
        for way in 0..WAYS {
            let echo = encoded(&secret, &user, way, &choices);
            for text in [format!("{before}\"{echo}\", expected"), format!("{before}({:?})", format!("({echo})"))] {
                let said = hidden(|it| it.add_credential(&secret), &text);
                prop_assert!(said.contains(MARK), "way {way}: nothing of {secret:?} was found in {text:?}");
                prop_assert!(!said.contains(&echo), "way {way}: {secret:?} shows in {said:?}");
            }
        }
    }
}
