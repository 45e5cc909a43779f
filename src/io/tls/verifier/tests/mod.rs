//! Acceptance of chains, compared with `openssl verify`.

mod cases;
mod made;

use std::{path::Path, process::Command, sync::Arc};

use rustls::{crypto::ring::default_provider, pki_types::CertificateDer};

use self::{
    cases::{Case, cases},
    made::pem,
};
use super::*;
use crate::io::tls::{Certificates, server_name};

/// Chains that OpenSSL judges differently, each with the reason for the difference.
const DIFFERENCES: [(&str, &str); 6] = [
    (
        "the right one of two authorities of the same name",
        "without key identifiers, OpenSSL takes the first authority of the name and does not try the next",
    ),
    ("a partial wildcard", "a wildcard is a whole label (RFC 9525, 6.3); curl and Go refuse it, too"),
    ("only a common name", "the common name is no name of a server (RFC 9110, 4.3.4); curl and Go refuse it, too"),
    ("version 1", "has no subject alternative names"),
    ("an authority as a server", "a server with the key of an authority endangers everybody who trusts the authority"),
    ("P-521 authority", "the crypto provider does not support P-521; nor does TLS 1.3 require it"),
];

fn judge(case: &Case) -> Presented {
    let mut authorities = Authorities::default();
    case.anchors.iter().for_each(|anchor| authorities.add(anchor).unwrap());
    let verifier = ServerVerifier::new(Arc::new(authorities), Arc::new(default_provider()), false);
    let name = server_name(case.host).unwrap();
    let (path, distrust) = verifier.verify(&case.leaf, &case.sent, &name, UnixTime::now());
    let chain = std::iter::once(&case.leaf).chain(&case.sent).cloned().collect();
    Presented { chain, path, distrust, version: None }
}

/// Whether OpenSSL accepts a chain with the security level of Debian. Like curl, it trusts certificates that are no
/// roots.
fn openssl_accepts(folder: &Path, case: &Case) -> bool {
    let write = |name: &str, list: &[CertificateDer<'_>]| {
        std::fs::write(folder.join(name), list.iter().map(pem).collect::<String>()).unwrap();
    };
    write("ca", &case.anchors);
    write("sent", &case.sent);
    write("leaf", std::slice::from_ref(&case.leaf));
    let host = match server_name(case.host).unwrap() {
        ServerName::DnsName(name) => ["-verify_hostname".to_owned(), name.as_ref().to_owned()],
        other => ["-verify_ip".to_owned(), other.to_str().into_owned()],
    };
    let mut command = Command::new("openssl");
    command.args("verify -no-CApath -no-CAstore -purpose sslserver -auth_level 2 -partial_chain -CAfile ca".split(' '));
    if !case.sent.is_empty() {
        command.args(["-untrusted", "sent"]);
    }
    command.args(host).arg("leaf").current_dir(folder).output().unwrap().status.success()
}

#[test]
fn chains_are_accepted_as_by_openssl_except_for_deliberate_differences() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wrong, mut differences) = (Vec::new(), Vec::new());
    let cases = cases(folder.path());
    for case in &cases {
        let presented = judge(case);
        let text = presented.distrust.as_ref().map(Distrust::text);
        let is_expected = match (text, case.refused) {
            (Some(text), Some(words)) => text.contains(words),
            (text, words) => text.is_none() && words.is_none(),
        };
        if !is_expected {
            wrong.push(format!("{}: expected {:?}, got {text:?}", case.name, case.refused));
        }
        if openssl_accepts(folder.path(), case) != text.is_none() {
            differences.push(case.name);
        }
        for foreign in ["Other(", "Error", "https://", "Context"] {
            assert!(!text.is_some_and(|text| text.contains(foreign)), "{}: {text:?}", case.name);
        }
        assert!(Certificates::from_presented(&presented).is_some(), "{}", case.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.len() > 75, "{} chains", cases.len());
    let expected: Vec<_> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    differences.sort_unstable_by_key(|name| expected.iter().position(|known| known == name));
    assert_eq!(differences, expected);
}

#[test]
fn the_path_that_was_used_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases(folder.path());
    let certificates = |name: &str| {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        Certificates::from_presented(&judge(case)).unwrap()
    };
    let now = Timestamp::now();
    let spare = certificates("an unused expired cross signature");
    assert_eq!((spare.issuers.len(), spare.unused.len()), (1, 1));
    assert!(spare.first_expiring_issuer().unwrap().not_after > now && spare.unused[0].not_after < now);
    assert_eq!(spare.authority.as_ref().map(|root| &*root.subject), Some("CN=root"));
    let short = certificates("an authority that ends in two days");
    assert!((short.first_expiring_issuer().unwrap().not_after - now).get_hours() < 49);
    let renewed = certificates("an expired issuer and its successor");
    assert!(renewed.issuers[0].not_after > now && renewed.unused.len() == 1);
    let successor = certificates("an expired authority and its successor");
    assert!(successor.authority.unwrap().not_after > now);
    let pinned = certificates("self-signed and trusted");
    assert_eq!((pinned.issuers.len(), pinned.authority, pinned.unused.len()), (0, None, 0));
    // Without a path, the issuers follow by name.
    let refused = certificates("another authority");
    assert_eq!((refused.issuers.len(), refused.unused.len()), (2, 0));
}
