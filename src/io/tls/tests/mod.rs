mod failures;

use rcgen::CertificateParams;
use rustls::ServerConfig;
use serde_json::{from_value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{fixture::authority, *};
use crate::model::words::Reason;

async fn serve(config: ServerConfig) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await });
        }
    });
    address
}

async fn shake(tls: &Tls, config: ServerConfig, cache: &Arc<Cache>) -> Handshake<TcpStream> {
    let stream = TcpStream::connect(serve(config).await).await.unwrap();
    tls.handshake(stream, "localhost", &[], cache).await
}

#[tokio::test]
async fn a_trusted_certificate_is_accepted_and_kept() {
    let (folder, authority, shared) = (
        tempfile::tempdir().unwrap(),
        authority("a"),
        Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default())),
    );
    let shaken = shake(&authority.trusted_in(folder.path()), authority.server(|_| {}), &shared).await;
    shaken.stream.unwrap();
    let presented = shaken.presented.unwrap();
    assert_eq!((presented.chain.len(), presented.version), (1, Some("1.3")));
    assert!(presented.distrust.is_none());
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_and_the_certificate_kept() {
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str); 3] = [
        (|params| params.not_after = rcgen::date_time_ymd(2021, 3, 4), "expired on 2021-03-04 00:00 UTC"),
        (|params| params.not_before = rcgen::date_time_ymd(2090, 3, 4), "not valid before 2090-03-04"),
        (
            |params| params.subject_alt_names = vec![rcgen::SanType::DnsName("a.example".try_into().unwrap())],
            "not for localhost but for a.example",
        ),
    ];
    let (folder, authority, shared) = (
        tempfile::tempdir().unwrap(),
        authority("a"),
        Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default())),
    );
    let tls = authority.trusted_in(folder.path());
    for (change, text) in cases {
        let shaken = shake(&tls, authority.server(change), &shared).await;
        let failure = shaken.stream.unwrap_err();
        assert_eq!(failure.reason, Reason::Certificate, "{failure}");
        assert!(failure.detail.contains(text), "{failure}");
        let presented = shaken.presented.unwrap();
        assert!(presented.distrust.is_some() && presented.chain.len() == 1);
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_refused_unless_verification_is_switched_off() {
    let (folder, shared) =
        (tempfile::tempdir().unwrap(), Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default())));
    let stranger = authority("a").server(|_| {});
    let tls = authority("b").trusted_in(folder.path());
    let failure = shake(&tls, stranger.clone(), &shared).await.stream.unwrap_err();
    assert_eq!(failure.reason, Reason::Certificate);
    assert!(failure.detail.contains("issuer is not trusted"), "{failure}");
    let careless = Tls { insecure_skip_verify: true, ..Tls::default() };
    let shaken = shake(&careless, stranger, &shared).await;
    shaken.stream.unwrap();
    assert!(shaken.presented.unwrap().distrust.is_some());
}

#[tokio::test]
async fn a_rotated_authority_is_used_at_once_and_an_unchanged_one_is_not_read_again() {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), authority("a"), authority("a"));
    let shared = Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default()));
    let tls = old.trusted_in(folder.path());
    let before = tls.client_config(&shared).await.unwrap();
    assert!(Arc::ptr_eq(&before, &tls.client_config(&shared).await.unwrap()));
    let failure = shake(&tls, new.server(|_| {}), &shared).await.stream.unwrap_err();
    assert!(failure.detail.contains("was the authority renewed?"), "{failure}");
    // As an orchestrator does it: a new file takes the old one's name.
    std::fs::write(folder.path().join("next"), new.pem()).unwrap();
    std::fs::rename(folder.path().join("next"), folder.path().join("ca.pem")).unwrap();
    shake(&tls, new.server(|_| {}), &shared).await.stream.unwrap();
}

#[tokio::test]
async fn broken_files_are_named() {
    let (folder, shared) =
        (tempfile::tempdir().unwrap(), Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default())));
    let path = folder.path().join("ca.pem");
    let tls = Tls { ca: Some(path.clone()), ..Tls::default() };
    assert_eq!(tls.client_config(&shared).await.unwrap_err().reason, Reason::NotFound);
    for text in ["", "not pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, text).unwrap();
        let failure = tls.client_config(&shared).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Tls, "{failure}");
        assert!(failure.detail.contains("ca.pem"), "{failure}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(tls.client_config(&shared).await.unwrap_err().detail.contains("not a regular file"));
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_told_from_a_bad_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        let (silent, _) = listener.accept().await.unwrap();
        drop(silent);
    });
    let (tls, shared) = (
        Tls { insecure_skip_verify: true, ..Tls::default() },
        Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default())),
    );
    for _ in 0..2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let shaken = tls.handshake(stream, "localhost", &[], &shared).await;
        let failure = shaken.stream.unwrap_err();
        assert_eq!(failure.reason, Reason::Tls, "{failure}");
        assert!(shaken.presented.is_none());
    }
}

#[test]
fn versions_older_than_1_2_are_refused_with_a_reason() {
    for good in [json!(1.2), json!("1.3"), json!(1.3)] {
        from_value::<Version>(good).unwrap();
    }
    for old in [json!(1.1), json!("1.0"), json!(1)] {
        assert!(from_value::<Version>(old).unwrap_err().to_string().contains("the minimum of `min_version` is 1.2"));
    }
    assert!(from_value::<Version>(json!("SSLv3")).is_err());
}

#[test]
fn keys_that_need_each_other_are_held_together() {
    let key = |settings| from_value::<Tls>(settings).unwrap().validate().map_err(|invalid| invalid.key);
    assert_eq!(key(json!({"cert": "c.pem"})), Err(Some("cert")));
    assert_eq!(key(json!({"key": "k.pem"})), Err(Some("key")));
    assert_eq!(key(json!({"ca": "c.pem", "insecure_skip_verify": true})), Err(Some("insecure_skip_verify")));
    assert_eq!(key(json!({"server_name": "not a name"})), Err(Some("server_name")));
    assert_eq!(key(json!({"ca": "c.pem", "server_name": "10.0.0.1"})), Ok(()));
}
