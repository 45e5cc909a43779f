//! `http` and `tcp` against a real nginx: TLS, HTTP/2, compression, redirects, client certificates, and its faults.

use std::{fs, time::Duration};

use readiness_exporter::model::words::{Outcome, Phase, Reason};

use crate::harness::{
    certificates::{Authority, self_signed},
    free_port,
    nginx::Nginx,
    probe_under_test::ProbeUnderTest,
};

const HEALTHY: &str = r#"{"status":"ok","queue":3}"#;

/// Ports of HTTPS: good, expired, for another name, self-signed, for known clients, TLS 1.2 at most.
struct Ports([u16; 6]);

fn nginx() -> (Nginx, Ports) {
    let ports = [(); 6].map(|()| free_port());
    let [good, expired, other, selfsigned, known, old] = ports;
    let tls = |port: u16, name: &str, more: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {name}/server.pem;
             ssl_certificate_key {name}/server.key; {more} location / {{ return 200 '{HEALTHY}'; }} }}\n"
        )
    };
    let plain = format!(
        "location = /health {{ add_header X-Version 2.4.1; return 200 '{HEALTHY}'; }}
         location = /broken {{ return 500 'no'; }}
         location = /page {{ default_type text/html; return 200 '<html></html>'; }}
         location = /login {{ auth_basic closed; auth_basic_user_file users; }}
         location = /loop {{ return 302 /loop; }}
         location = /moved {{ return 301 https://localhost:{good}/; }}
         location = /trickle {{ limit_rate 1; try_files /zeros =404; }}"
    );
    let encrypted = [
        "gzip on; gzip_types *; gzip_min_length 1;\n".to_owned(),
        tls(good, "good", ""),
        tls(expired, "expired", ""),
        tls(other, "other", ""),
        tls(selfsigned, "selfsigned", ""),
        tls(known, "good", "ssl_client_certificate ca.pem; ssl_verify_client on;"),
        tls(old, "good", "ssl_protocols TLSv1.2;"),
    ];
    let nginx = Nginx::start_with(&plain, &encrypted.concat(), |folder| {
        let authority = Authority::new();
        authority.write(&folder.join("ca.pem"));
        let within = |name: &str| {
            let within = folder.join(name);
            fs::create_dir_all(&within).unwrap();
            within
        };
        authority.certify(&within("good"), "localhost", 24 * 90);
        authority.certify(&within("client"), "monitor", 24 * 90);
        authority.certify(&within("expired"), "localhost", -1);
        authority.certify(&within("other"), "other.example", 24 * 90);
        self_signed(&within("selfsigned"), "localhost");
        fs::write(within("files").join("zeros"), vec![b'0'; 4 << 20]).unwrap();
        fs::write(within("files").join("login"), HEALTHY).unwrap();
        fs::write(folder.join("users"), "monitor:{PLAIN}hunter2\n").unwrap();
    });
    (nginx, Ports(ports))
}

fn watch(url: &str, more: &str, checks: &str) -> ProbeUnderTest {
    ProbeUnderTest::new(&format!(
        "http: {{url: \"{url}\", body_limit: 2MiB{more}}}\ninterval: 10s\ntimeout: 2s\nchecks: [{checks}]"
    ))
}

#[tokio::test]
async fn a_healthy_service_passes_every_check() {
    let (nginx, Ports([good, ..])) = nginx();
    let response = "response: {expect: [{status: 200}, {json: $.status, equals: ok}, {json: $.queue, max: 10}, \
                    {header: x-version, matches: '^2'}]}";
    let seen = watch(&format!("http://localhost:{}/health", nginx.port), "", response).run().await.worked();
    assert_eq!(seen.phases(), [Phase::Resolve, Phase::Connect, Phase::Request, Phase::Response]);
    assert_eq!(seen.verdict("response").summary, "all 4 expectations are met");

    let tls = format!(", tls: {{ca: {}/ca.pem}}", nginx.folder().display());
    for (version, spoken) in [("auto", "HTTP/2"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2")] {
        let more = format!("{tls}, http_version: \"{version}\"");
        let checks = "certificate: {min_remaining: 30d, names: [localhost]}, response: {expect: [{text: ok}]}";
        let checks = checks.replace(", response", "}, {response");
        let seen = watch(&format!("https://localhost:{good}/"), &more, &format!("{{{checks}}}")).run().await.worked();
        assert_eq!(seen.fact("/response/version"), spoken);
        assert_eq!(seen.outcome("certificate"), Outcome::Pass, "{}", seen.verdict("certificate").summary);
        assert_eq!(seen.outcome("response"), Outcome::Pass);
        assert_eq!(seen.report.samples[0].family.name, "readiness_certificate_not_after_timestamp_seconds");
        assert_eq!(seen.report.samples[0].labels.as_ref(), ["leaf", "true"]);
    }
}

#[tokio::test]
async fn each_fault_has_its_reason_on_its_check() {
    let (nginx, _) = nginx();
    let response = "response: {expect: [{json: $.status, equals: ok}]}";
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", nginx.port);
    let gzip = ", headers: {accept-encoding: gzip}";
    for (path, more, reason) in [
        ("/health", "", None),
        ("/health", gzip, None),
        ("/broken", "", Some(Reason::Status)),
        ("/gone", "", Some(Reason::Status)),
        ("/zeros", "", Some(Reason::TooLarge)),
        // 4 MiB of zeros in 4 kB.
        ("/zeros", gzip, Some(Reason::TooLarge)),
        ("/loop", ", follow_redirects: true", Some(Reason::Status)),
        ("/moved", "", Some(Reason::Status)),
        ("/moved", ", follow_redirects: true", Some(Reason::Certificate)),
        ("/trickle", "", Some(Reason::Timeout)),
        ("/login", "", Some(Reason::Status)),
        ("/login", ", basic_auth: {username: monitor, password: hunter2}", None),
        ("/health", ", http_version: 2", Some(Reason::Protocol)),
    ] {
        let seen = watch(&at(path), more, response).run().await;
        assert_eq!(seen.reason(), reason, "{path} {more}: {:?}", seen.report.failure);
        let (health, response) = match reason {
            None => (Outcome::Pass, Outcome::Pass),
            Some(reason) => (Outcome::Fail(reason), Outcome::Unknown(reason)),
        };
        assert_eq!((seen.outcome("health"), seen.outcome("response")), (health, response), "{path} {more}");
    }
    let page = watch(&at("/page"), "", response).run().await.worked();
    assert_eq!(page.outcome("response"), Outcome::Fail(Reason::Parse), "{}", page.verdict("response").summary);
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_judged_all_the_same() {
    let (nginx, Ports([good, expired, other, selfsigned, known, old])) = nginx();
    let ca = format!("ca: {}/ca.pem", nginx.folder().display());
    let client = format!("{ca}, cert: {0}/client/server.pem, key: {0}/client/server.key", nginx.folder().display());
    let newest = format!("{ca}, min_version: 1.3");
    let careless = "insecure_skip_verify: true";
    let (pass, fail) = (Outcome::Pass, Outcome::Fail(Reason::Certificate));
    for (port, tls, reason, certificate, text) in [
        (good, &*ca, None, pass, "no less than"),
        (expired, &ca, Some(Reason::Certificate), fail, "expired on "),
        (expired, careless, None, fail, "expired on "),
        (other, &ca, Some(Reason::Certificate), fail, "not for localhost but for other.example"),
        (selfsigned, &ca, Some(Reason::Certificate), fail, "self-signed"),
        (selfsigned, careless, None, fail, "self-signed"),
        (known, &ca, Some(Reason::Status), pass, "no less than"),
        (known, &client, None, pass, "no less than"),
        (old, &ca, None, pass, "no less than"),
        (old, &newest, Some(Reason::Tls), Outcome::Unknown(Reason::Tls), "not measured"),
    ] {
        let url = format!("https://localhost:{port}/");
        let seen = watch(&url, &format!(", tls: {{{tls}}}"), "certificate").run().await;
        assert_eq!(seen.reason(), reason, "{tls}: {:?}", seen.report.failure);
        let verdict = seen.verdict("certificate");
        assert_eq!(verdict.outcome, certificate, "{tls}: {}", verdict.summary);
        assert!(verdict.summary.contains(text), "{}", verdict.summary);
        let over_tcp =
            format!("tcp: {{address: \"localhost:{port}\", tls: {{{tls}}}}}\ninterval: 10s\nchecks: [certificate]");
        assert_eq!(ProbeUnderTest::new(&over_tcp).run().await.outcome("certificate"), certificate, "{tls} over tcp");
    }
}

#[tokio::test]
async fn a_service_that_hangs_or_stops_is_told_apart_and_its_return_is_seen() {
    let (mut nginx, Ports([good, ..])) = nginx();
    let http = watch(&format!("{}health", nginx.url()), "", "response: {expect: [{status: 200}]}");
    let kept = watch(&format!("{}health", nginx.url()), ", keep_alive: true", "");
    let tcp = ProbeUnderTest::new(&format!(
        "tcp: {{address: \"127.0.0.1:{}\", send: \"GET /health HTTP/1.0\\r\\n\\r\\n\", expect: '^HTTP/1.1 200 '}}\ninterval: 10s\ntimeout: 1s",
        nginx.port
    ));
    let ca = nginx.folder().join("ca.pem");
    let tls = watch(&format!("https://localhost:{good}/"), &format!(", tls: {{ca: {}}}", ca.display()), "");
    let all = [(&http, Phase::Request), (&kept, Phase::Request), (&tcp, Phase::Response), (&tls, Phase::Tls)];
    for (watch, _) in all {
        watch.run().await.worked();
    }
    nginx.freeze();
    for (watch, phase) in all {
        let seen = watch.run().await;
        assert_eq!((seen.reason(), seen.phases().last()), (Some(Reason::Timeout), Some(&phase)));
        assert!(seen.report.duration < Duration::from_secs(3));
    }
    nginx.thaw();
    for (watch, _) in all {
        watch.run().await.worked();
    }
    nginx.stop();
    for (watch, _) in all {
        assert_eq!(watch.run().await.reason(), Some(Reason::Refused));
    }
    nginx.start_again();
    for (watch, _) in all {
        watch.run().await.worked();
    }
}
