//! Converts errors of the TLS library into failures in words, with a remedy.
//!
//! Texts of the library contain names of Rust types and links to its manual, so no text of it is displayed.

use std::{error::Error as StdError, fmt, io};

use rustls::{AlertDescription, Error, PeerIncompatible};

use super::{
    Presented, Tls, Version,
    meaning::distrust_meaning,
    verifier::{Distrust, describe_certificate_error},
};
use crate::model::{failure::Failure, words::Reason};

/// Whether an error means that the peer ended a TLS connection without announcing it. The response may be cut off.
#[must_use]
pub fn is_unannounced_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof && error.to_string().contains(UNANNOUNCED_END)
}

/// Converts an error of a handshake. A refused certificate is described by its own distrust. `wants_client_certificate`
/// is whether the server requested a client certificate: in TLS 1.2, a missing one has no alert of its own.
pub(super) fn handshake_failure(
    what: &str,
    error: &io::Error,
    tls: &Tls,
    presented: Option<Presented>,
    wants_client_certificate: bool,
) -> Failure {
    let refused = presented.and_then(|presented| presented.distrust).filter(|_| !tls.insecure_skip_verify);
    match (rustls_error(error), refused) {
        (Some(Error::InvalidCertificate(_)), Some(distrust)) => distrust_failure(what, &distrust),
        (Some(Error::AlertReceived(AlertDescription::HandshakeFailure)), _)
            if wants_client_certificate && tls.cert.is_none() =>
        {
            tls_failure(what, &Error::AlertReceived(AlertDescription::CertificateRequired), tls)
        }
        _ => io_failure(what, error, tls),
    }
}

/// The failure of a certificate that is not accepted.
#[must_use]
pub fn distrust_failure(what: &str, distrust: &Distrust) -> Failure {
    let failure = Failure::new(Reason::Certificate, format!("{what}: {}", distrust.text()));
    failure.with_meaning(distrust.meaning())
}

fn io_failure(what: &str, error: &io::Error, tls: &Tls) -> Failure {
    match rustls_error(error) {
        Some(error) => tls_failure(what, error, tls),
        None if is_unannounced_end(error) => Failure::new(Reason::Tls, format!("{what}: {CUT_OFF}")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failure::new(Reason::Tls, format!("{what}: the other end closed the connection; is this a TLS port?"))
        }
        None if error.kind() == io::ErrorKind::ConnectionReset => {
            Failure::new(Reason::Tls, format!("{what}: the other end reset the connection; is this a TLS port?"))
        }
        None => Failure::from_error(Reason::Tls, what, error),
    }
}

/// Converts an error of any library if a TLS error is among its sources.
#[must_use]
pub fn find_failure(what: &str, error: &(dyn StdError + 'static)) -> Option<Failure> {
    rustls_error(error).map(|error| tls_failure(what, error, &Tls::default())).or_else(|| {
        // The HTTP/2 library keeps only the text of an I/O error. Alerts about the client certificate arrive after the
        // handshake and must be recognized in this text.
        let text = Failure::from_error(Reason::Tls, what, error).detail;
        if text.contains(UNANNOUNCED_END) {
            return Some(Failure::new(Reason::Tls, format!("{what}: {CUT_OFF}")));
        }
        let alert = REFUSALS.iter().find(|alert| text.contains(&Error::AlertReceived(**alert).to_string()));
        alert.map(|alert| tls_failure(what, &Error::AlertReceived(*alert), &Tls::default()))
    })
}

/// Part of the library's text for a connection that ends without the closing alert.
const UNANNOUNCED_END: &str = "without sending TLS close_notify";
const CUT_OFF: &str = "the server ended the connection without announcing it (TLS close_notify), so the response may be \
                       cut off: let the server end TLS properly, or state the length of the response";

/// Alerts of a server that refuses the client certificate.
const REFUSALS: [AlertDescription; 8] = [
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

fn rustls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // `source` of an I/O error skips the wrapped error.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

pub(super) fn tls_failure(what: &str, error: &Error, tls: &Tls) -> Failure {
    let words = |text: &str| text.to_owned();
    let (reason, text) = match error {
        Error::InvalidCertificate(error) => (Reason::Certificate, describe_certificate_error(error)),
        Error::NoCertificatesPresented => {
            (Reason::Certificate, words("the server presents no certificate: configure one"))
        }
        Error::AlertReceived(alert) => alert_failure(*alert, tls),
        Error::PeerIncompatible(why) => (Reason::Tls, describe_incompatibility(why, tls)),
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => {
            (Reason::Tls, words("the other end answers with something that is not TLS; is this a TLS port?"))
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            (Reason::Tls, words("the server sends TLS messages in a wrong order; is a proxy in between?"))
        }
        Error::PeerMisbehaved(why) => {
            let why = camel_words(why);
            (Reason::Tls, format!("the server breaks the rules of TLS ({why}): update the server, or its TLS library"))
        }
        Error::DecryptError => {
            (Reason::Tls, words("a message of the server can't be decrypted: it was changed on the way"))
        }
        Error::NoApplicationProtocol => (Reason::Tls, words(NO_COMMON_ALPN)),
        Error::InconsistentKeys(_) => {
            (Reason::Tls, words("the private key does not belong to the certificate: use the key of this certificate"))
        }
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
            (Reason::Internal, words("the system provides no time or no random numbers"))
        }
        // The remaining errors are texts of the library without types and links, such as that of a bad private key.
        Error::General(text) => (Reason::Tls, text.clone()),
        _ => (Reason::Tls, words("the TLS handshake is not possible with these settings")),
    };
    let failure = Failure::new(reason, format!("{what}: {text}"));
    match (error, reason) {
        (Error::InvalidCertificate(error), _) => failure.with_meaning(distrust_meaning(error)),
        (Error::NoCertificatesPresented, _) => failure.with_meaning("the server presents no certificate"),
        (_, Reason::Auth) => failure.of_exporter("the server does not accept the client certificate of this exporter"),
        _ => failure,
    }
}

const NO_COMMON_ALPN: &str = "the server requires an application protocol (ALPN) that this probe does not offer: \
                              configure the server without this requirement, or use the probe kind of the protocol";

fn alert_failure(alert: AlertDescription, tls: &Tls) -> (Reason, String) {
    use AlertDescription as Alert;
    let text = match alert {
        Alert::CertificateRequired => {
            return (Reason::Auth, "the server asks for a client certificate: set `tls.cert` and `tls.key`".to_owned());
        }
        alert if REFUSALS.contains(&alert) => {
            let (name, advice) = (
                camel_words(&alert),
                match tls.cert {
                    Some(_) => "use a certificate of an authority that the server trusts",
                    None => "set `tls.cert` and `tls.key` if the server requires one",
                },
            );
            return (
                Reason::Auth,
                format!("the server does not accept our client certificate (alert: {name}): {advice}"),
            );
        }
        Alert::ProtocolVersion => no_common_version(tls),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => format!(
            "the server finds nothing in common with this client (alert: {}); offered are {}: enable one of these \
             ciphers on the server, with a certificate of such a key",
            camel_words(&alert),
            offer(tls)
        ),
        Alert::UnrecognisedName => {
            "the server does not know the requested name: configure the name on the server, or set `tls.server_name`"
                .to_owned()
        }
        Alert::NoApplicationProtocol => NO_COMMON_ALPN.to_owned(),
        Alert::InternalError => "the server reports an internal error: look at its log".to_owned(),
        Alert::Unknown(number) => format!("the server breaks off with the unknown alert {number}: look at its log"),
        alert => format!("the server breaks off with the alert `{}`: look at its log", camel_words(&alert)),
    };
    (Reason::Tls, text)
}

fn describe_incompatibility(why: &PeerIncompatible, tls: &Tls) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => no_common_version(tls),
        why => format!(
            "the server finds nothing in common with this client ({}); offered are {}",
            camel_words(why),
            offer(tls)
        ),
    }
}

fn no_common_version(tls: &Tls) -> String {
    let remedy = match (tls.min_version, tls.max_version) {
        (Version::V1_2, Some(Version::V1_2)) => "enable it on the server, or remove `tls.max_version`",
        (Version::V1_2, _) => "enable one of them on the server; older versions are insecure",
        (Version::V1_3, _) => "enable it on the server, or set `tls.min_version: 1.2`",
    };
    format!("the server speaks no version of TLS that is offered ({}): {remedy}", offered_versions(tls))
}

fn offered_versions(tls: &Tls) -> &'static str {
    match (tls.min_version, tls.max_version) {
        (Version::V1_2, Some(Version::V1_2)) => "TLS 1.2",
        (Version::V1_2, _) => "TLS 1.2 and TLS 1.3",
        (Version::V1_3, _) => "TLS 1.3",
    }
}

/// The offer of a client in words. A test compares it with the crypto provider.
pub(super) fn offer(tls: &Tls) -> String {
    let old = match tls.min_version {
        Version::V1_2 => " (in TLS 1.2 with ECDHE)",
        Version::V1_3 => "",
    };
    format!(
        "{} with AES-128-GCM, AES-256-GCM or ChaCha20-Poly1305{old}, the groups X25519, P-256 and P-384, and \
         certificates with keys of RSA from 2048 bits, ECDSA P-256 or P-384, or Ed25519",
        offered_versions(tls)
    )
}

/// Converts the name of a variant to words: `HandshakeFailure` to `handshake failure`.
fn camel_words(variant: &impl fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let name = name.split(['(', '{', ' ']).next().unwrap_or_default();
    let mut words = String::new();
    let mut is_upper = true;
    for c in name.chars() {
        if c.is_ascii_uppercase() && !is_upper {
            words.push(' ');
        }
        is_upper = c.is_ascii_uppercase();
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::default_provider;

    use super::*;

    #[test]
    fn the_offer_in_words_is_that_of_the_crypto_provider() {
        let provider = default_provider();
        let text = offer(&Tls::default()).replace('-', "").to_uppercase();
        for suite in &provider.cipher_suites {
            let name = format!("{:?}", suite.suite());
            let cipher = ["AES_128_GCM", "AES_256_GCM", "CHACHA20_POLY1305"].into_iter().find(|one| name.contains(one));
            let cipher = cipher.unwrap_or_else(|| panic!("{name} is not in {text}"));
            assert!(text.contains(&cipher.replace('_', "")), "{name}");
            assert!(suite.tls13().is_some() || name.contains("ECDHE"), "{name}");
        }
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
        assert_eq!(groups, ["X25519", "secp256r1", "secp384r1"], "P-256 and P-384 have other names");
        assert!(!offer(&Tls { min_version: Version::V1_3, ..Tls::default() }).contains("1.2"));
    }

    #[test]
    fn names_of_variants_become_words() {
        assert_eq!(camel_words(&AlertDescription::HandshakeFailure), "handshake failure");
        assert_eq!(camel_words(&AlertDescription::UnknownCA), "unknown ca");
        let (_, text) = alert_failure(AlertDescription::Unknown(85), &Tls::default());
        assert_eq!(text, "the server breaks off with the unknown alert 85: look at its log");
    }
}
