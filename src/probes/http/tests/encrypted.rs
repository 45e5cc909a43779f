use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertificateParams;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::*;
use crate::io::tls::fixture::authority;

/// Answers with the version and the authority that it was asked with, over TLS.
async fn encrypted(config: ServerConfig, alpn: &[&str]) -> String {
    let mut config = config;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                http(stream, two).await;
            });
        }
    });
    format!("https://localhost:{}/", address.port())
}

async fn http<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(stream: S, two: bool) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let host = host.or_else(|| request.uri().authority().map(ToString::to_string)).unwrap();
        let text = format!("{:?} {host}", request.version());
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    let stream = TokioIo::new(stream);
    let _ = if two {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
    };
}

async fn body(settings: Value) -> String {
    let answered = run(settings).await.unwrap().response.unwrap();
    String::from_utf8(answered.body.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn the_version_is_negotiated_or_insisted_on() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let tls = authority.trusted_in(folder.path());
    let both = encrypted(authority.server(|_| {}), &["h2", "http/1.1"]).await;
    let old = encrypted(authority.server(|_| {}), &["http/1.1"]).await;
    let silent = encrypted(authority.server(|_| {}), &[]).await;
    for (url, version, answered) in [
        (&both, "auto", "HTTP/2.0 "),
        (&both, "1.1", "HTTP/1.1 "),
        (&both, "2", "HTTP/2.0 "),
        (&old, "auto", "HTTP/1.1 "),
        (&silent, "auto", "HTTP/1.1 "),
    ] {
        let body = body(json!({"url": url, "tls": tls, "http_version": version})).await;
        assert!(body.starts_with(answered) && body.contains(" localhost:"), "{version}: {body}");
    }
    for url in [&old, &silent] {
        let failure = failure(json!({"url": url, "tls": tls, "http_version": "2"})).await;
        assert!(matches!(failure.reason, Reason::Tls | Reason::Protocol), "{failure}");
    }
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_with_prior_knowledge() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http(stream, true));
        }
    });
    let body = body(json!({"url": url, "http_version": 2, "host": "service.example"})).await;
    assert_eq!(body, "HTTP/2.0 service.example");
    let failure = failure(json!({"url": url})).await;
    assert_eq!(failure.reason, Reason::Protocol, "{failure}");
}

#[tokio::test]
async fn certificates_are_facts_whether_they_are_accepted_or_not() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let tls = authority.trusted_in(folder.path());
    let url = encrypted(authority.server(|_| {}), &["h2"]).await;
    let facts = run(json!({"url": url, "tls": tls})).await.unwrap();
    let samples = crate::model::observation::Facts::samples(&facts);
    assert_eq!(samples[0].labels.as_ref(), ["leaf", "true"]);
    let leaf = &facts.certificates.as_ref().unwrap().leaf;
    assert_eq!((&*leaf.names, leaf.addresses[0].to_string()), (&["localhost".to_owned()][..], "127.0.0.1".to_owned()));

    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str); 2] = [
        (|params| params.not_after = rcgen::date_time_ymd(2021, 3, 4), "expired on 2021-03-04"),
        (
            |params| params.subject_alt_names = vec![rcgen::SanType::DnsName("a.example".try_into().unwrap())],
            "not for localhost but for a.example",
        ),
    ];
    for (change, text) in cases {
        let url = encrypted(authority.server(change), &[]).await;
        let broken = run(json!({"url": url, "tls": tls})).await.unwrap_err();
        assert_eq!(broken.failure.reason, Reason::Certificate);
        assert!(broken.failure.detail.contains(text), "{}", broken.failure);
        let facts = broken.facts.unwrap();
        assert!(facts.certificates.unwrap().distrust.as_ref().unwrap().contains(text) && facts.response.is_none());
    }
}

#[tokio::test]
async fn the_configured_host_is_the_one_that_is_verified() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let tls = authority.trusted_in(folder.path());
    let named = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("service.example".try_into().unwrap())];
    };
    let url = encrypted(authority.server(named), &[]).await;
    let body = body(json!({"url": url, "tls": tls, "host": "service.example:8443"})).await;
    assert_eq!(body, "HTTP/1.1 service.example:8443");
    let mut tls = serde_json::to_value(tls).unwrap();
    tls["server_name"] = json!("service.example");
    run(json!({"url": url, "tls": tls})).await.unwrap();
}

#[tokio::test]
async fn a_server_that_knows_its_clients_lets_in_those_with_a_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let mut tls = authority.trusted_in(folder.path());
    let url = encrypted(authority.server_for_known_clients(), &["h2", "http/1.1"]).await;
    for version in ["1.1", "2"] {
        let failure = failure(json!({"url": url, "tls": tls, "http_version": version})).await;
        assert_eq!(failure.reason, Reason::Auth, "HTTP/{version}: {failure}");
    }
    let (certificate, key) = authority.sign(|_| {});
    for (name, pem) in [("cert.pem", certificate), ("key.pem", key)] {
        std::fs::write(folder.path().join(name), pem).unwrap();
    }
    (tls.cert, tls.key) = (Some(folder.path().join("cert.pem")), Some(folder.path().join("key.pem")));
    run(json!({"url": url, "tls": tls})).await.unwrap();
}

#[tokio::test]
async fn a_redirect_never_drops_the_encryption() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let plain = answering(OK).await;
    let location = plain.url();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(|_| {})));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let answer = format!("HTTP/1.1 301 Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let tls = authority.trusted_in(folder.path());
    let failure = failure(json!({"url": url, "tls": tls, "follow_redirects": true})).await;
    assert!(failure.reason == Reason::Status && failure.detail.contains("drop the encryption"), "{failure}");
    assert!(plain.asked().is_empty());
}

#[tokio::test]
async fn an_old_version_of_tls_is_not_spoken_when_a_newer_is_demanded() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let (certificate, key) = authority.sign(|_| {});
    let old = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth();
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let old = old.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    let url = encrypted(old, &[]).await;
    let mut tls = serde_json::to_value(authority.trusted_in(folder.path())).unwrap();
    run(json!({"url": url, "tls": tls})).await.unwrap();
    tls["min_version"] = json!(1.3);
    let failure = failure(json!({"url": url, "tls": tls})).await;
    assert!(failure.reason == Reason::Tls && failure.detail.contains("no version of TLS"), "{failure}");
}
