//! Converts errors of the TLS library into failures with advice.

use std::{error::Error as StdError, io};

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, pki_types::UnixTime};

use crate::model::{failure::Failure, words::Reason};

/// Converts an I/O error of a TLS stream.
#[must_use]
pub fn stream_failure(what: &str, error: &io::Error) -> Failure {
    match rustls_error(error) {
        Some(error) => tls_failure(what, error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failure::new(Reason::Tls, format!("{what}: the other end closed the connection; is this a TLS port?"))
        }
        None => Failure::from_error(Reason::Tls, what, error),
    }
}

/// Converts an error of any library if a TLS error is among its sources.
#[must_use]
pub fn find_failure(what: &str, error: &(dyn StdError + 'static)) -> Option<Failure> {
    rustls_error(error).map(|error| tls_failure(what, error)).or_else(|| {
        // The HTTP/2 library keeps only the text of an I/O error. Alerts about the client certificate arrive after the
        // handshake and must be recognized in this text.
        let text = Failure::from_error(Reason::Tls, what, error).detail;
        let alert = REFUSALS.iter().find(|alert| text.contains(&Error::AlertReceived(**alert).to_string()));
        alert.map(|alert| tls_failure(what, &Error::AlertReceived(*alert)))
    })
}

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

fn tls_failure(what: &str, error: &Error) -> Failure {
    let (reason, text) = match error {
        Error::InvalidCertificate(error) => (Reason::Certificate, describe_distrust(error)),
        Error::NoCertificatesPresented => (Reason::Certificate, "the server presents no certificate".to_owned()),
        Error::AlertReceived(alert) => alert_failure(*alert),
        Error::PeerIncompatible(why) => (Reason::Tls, describe_incompatibility(why)),
        Error::InvalidMessage(_) => {
            (Reason::Tls, "the other end answers with something that is not TLS; is this a TLS port?".to_owned())
        }
        error => (Reason::Tls, error.to_string()),
    };
    Failure::new(reason, format!("{what}: {text}"))
}

/// Describes why a certificate is not trusted.
#[must_use]
pub(crate) fn describe_distrust(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "the certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired on {}", format_date(not_after))
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}; is the clock right?", format_date(not_before))
        }
        CertificateError::UnknownIssuer => {
            "the certificate is self-signed or its issuer is not trusted; name the issuer's certificate in `tls.ca`, \
             or let the server send its whole chain"
                .to_owned()
        }
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let shown: Vec<&str> = presented.iter().take(5).map(|name| unquote_name(name)).collect();
            let more = if presented.len() > shown.len() { ", ..." } else { "" };
            let names = if shown.is_empty() { "no name at all".to_owned() } else { shown.join(", ") };
            format!("the certificate is not for {} but for {names}{more}", expected.to_str())
        }
        CertificateError::Revoked => "the certificate is revoked".to_owned(),
        CertificateError::BadSignature => {
            "the certificate's issuer has the name of a trusted authority but another key; was the authority renewed?"
                .to_owned()
        }
        CertificateError::BadEncoding => "the certificate can't be read".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not made for servers".to_owned()
        }
        error => {
            let text = match error {
                // `Display` of the outer error uses the debug format.
                CertificateError::Other(why) => why.to_string(),
                error => error.to_string(),
            };
            if text.contains("CaUsedAsEndEntity") {
                "the server uses a certificate authority's own certificate; give it a certificate of its own".to_owned()
            } else {
                format!("the certificate can't be trusted: {text}")
            }
        }
    }
}

/// Extracts a name from its debug format in errors: `DnsName("a.example")`.
fn unquote_name(name: &str) -> &str {
    name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name)
}

fn alert_failure(alert: AlertDescription) -> (Reason, String) {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => {
            (Reason::Auth, "the server asks for a client certificate: set `tls.cert` and `tls.key`".to_owned())
        }
        alert if REFUSALS.contains(&alert) => {
            (Reason::Auth, format!("the server does not accept our client certificate (alert {alert:?})"))
        }
        Alert::ProtocolVersion => (Reason::Tls, "the server speaks no version of TLS that is allowed here".to_owned()),
        Alert::UnrecognisedName => (Reason::Tls, "the server does not know the name that was asked for".to_owned()),
        alert => (Reason::Tls, format!("the server breaks off with alert {alert:?}")),
    }
}

fn describe_incompatibility(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the server speaks no version of TLS that is allowed here".to_owned()
        }
        why => format!("no common ground with the server: {why:?}"),
    }
}

fn format_date(time: &UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "a day beyond the calendar".to_owned(),
    }
}
