use super::*;

/// A server that answers each line that it knows, and reports the lines that it has read.
async fn conversation(
    greeting: &'static [u8],
    answers: &'static [(&'static [u8], &'static [u8])],
) -> (String, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (report, lines) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Single bytes arrive in any number of parts.
            for byte in greeting {
                let _ = stream.write_all(&[*byte]).await;
                tokio::task::yield_now().await;
            }
            let (mut line, mut byte) = (Vec::new(), [0]);
            while let Ok(1) = stream.read(&mut byte).await {
                line.push(byte[0]);
                if byte[0] == b'\n' {
                    if let Some((_, answer)) = answers.iter().find(|(known, _)| line.starts_with(known)) {
                        let _ = stream.write_all(answer).await;
                    }
                    let _ = report.send(std::mem::take(&mut line));
                }
            }
        }
    });
    (address, lines)
}

const GREETING: &[u8] = b"220-mail.example ESMTP\r\n220-no spam here\r\n220 ready <17@mail>\r\n";

#[tokio::test]
async fn anchors_match_at_lines_of_a_greeting() {
    let (address, _lines) = conversation(GREETING, &[]).await;
    for expect in ["^220 ", "^220 ready.*$", "^220-no", r"\A220-mail", "ESMTP$"] {
        run(json!({"address": address, "expect": expect})).await.unwrap();
    }
    let short = Duration::from_millis(500);
    let broken = run_for(short, json!({"address": address, "expect": "^250 "})).await.unwrap_err();
    assert_eq!(
        broken.failure.detail,
        "not done within 500ms (in phase response): expected `^250 `, received \"220-mail.example ESMTP\\r\\n220-no spam \
         here\\r\\n220 ready <17@mail\"..."
    );
    let facts = broken.facts.unwrap();
    assert_eq!(
        (facts.received, facts.banner.as_deref()),
        (GREETING.len(), Some("220-mail.example ESMTP\r\n220-no spam here\r\n220 ready <17@mail>\r\n"))
    );
    assert!(facts.remote.is_some());
}

#[tokio::test]
async fn groups_of_a_response_are_sent_back_whole() {
    let (address, mut lines) =
        conversation(GREETING, &[(b"APOP", b"+OK 1\r\n+OK 2\r\n"), (b"BIN", b"\x00\xff\x01")]).await;
    let steps = json!([
        {"expect": r"^220 ready <(\d+)@(\w+)>"},
        {"send": "APOP ${1} at ${2} ${x}\r\n"},
        {"expect": r"^\+OK (\d+)"},
        // The next match begins behind the last one.
        {"expect": r"^\+OK (\d+)"},
        {"send": "BIN ${1} of ${0}\r\n"},
        {"expect_bytes": r"\x00\xff"},
        {"expect": r"(?-u)\x01"},
        {"send_bytes": r"\xfe\\\r\n"},
    ]);
    let facts = run(json!({"address": address, "steps": steps})).await.unwrap();
    assert_eq!(facts.received, GREETING.len() + 14 + 3);
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(lines.recv().await.unwrap());
    }
    assert_eq!(heard, [&b"APOP 17 at mail ${x}\r\n"[..], b"BIN 2 of +OK 2\r\n", b"\xfe\\\r\n"]);
}

#[tokio::test]
async fn a_group_is_complete_although_its_line_arrives_in_parts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for part in [&b"id 1"[..], b"2", b"3\r\n"] {
            stream.write_all(part).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut heard = vec![0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        heard
    });
    run(json!({"address": address, "steps": [{"expect": r"id (\d+)"}, {"send": "<${1}>"}]})).await.unwrap();
    assert_eq!(server.await.unwrap(), b"<123>");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let key = |settings: Value| {
        let mut all = json!({"address": "a.example:1"});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        from_value::<Tcp>(all).unwrap().validate(&crate::checks::fixture::TIMING).map_err(|invalid| invalid.key)
    };
    for (settings, bad) in [
        (json!({"steps": [{"send": "a"}], "send": "b"}), "steps"),
        (json!({"steps": [{"send": "a"}], "expect": "b"}), "steps"),
        (json!({"steps": [{"send": "${1}"}]}), "steps"),
        (json!({"closed": true, "tls": {}}), "closed"),
        (json!({"closed": "or_silent", "expect": "a"}), "closed"),
        (json!({"closed": true, "steps": [{"send": "a"}]}), "closed"),
        (json!({"starttls": "smtp", "steps": [{"starttls": true}]}), "starttls"),
    ] {
        assert_eq!(key(settings.clone()), Err(Some(bad)), "{settings}");
    }
    for good in [
        json!({"closed": true}),
        json!({"closed": false, "tls": {}}),
        json!({"send": "${1}"}),
        json!({"tls": {}, "starttls": "imap", "steps": [{"send": "a"}]}),
    ] {
        assert_eq!(key(good.clone()), Ok(()), "{good}");
    }
    for bad in [json!("yes"), json!(1)] {
        from_value::<Tcp>(json!({"address": "a.example:1", "closed": bad})).unwrap_err();
    }
}

#[tokio::test]
async fn a_closed_port_passes_and_an_open_one_fails() {
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let failure =
        run(json!({"address": open.local_addr().unwrap().to_string(), "closed": true})).await.unwrap_err().failure;
    assert_eq!(failure.reason, Reason::Status, "{failure}");
    assert!(failure.detail.contains("accepts connections, but the port must be closed"), "{failure}");
    let address = open.local_addr().unwrap().to_string();
    drop(open);
    run(json!({"address": address, "closed": true})).await.unwrap();
    run(json!({"address": address, "closed": "or_silent"})).await.unwrap();
}
