//! Bounds the work of verifying a server's chain of certificates.
//!
//! The library searches for a path to a trusted authority among all certificates that a server sends. It tries all
//! certificates with the same name at each position of the path: eight such certificates of 350 bytes took 100 to 250
//! ms of CPU time, until the bounds of the library (100 signatures, 200,000 steps) ended the search. A real chain has
//! one certificate for each name, or two for a cross-signed authority.

use std::collections::HashSet;

use rustls::{CertificateError, pki_types::CertificateDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Distrust;

/// Maximum number of distinct issuer certificates.
const MAX_ISSUERS: usize = 10;
/// Maximum number of issuer certificates with the name of another one. With two, the search ends within 16 signatures.
const MAX_NAMESAKES: usize = 2;

/// Removes repeated issuer certificates, and orders the others by the end of their validity, with the longest first: if
/// several paths exist, the path that lasts longest is used and judged.
///
/// # Errors
/// There are too many certificates, or too many with the same name.
pub(super) fn distinct_issuers<'a>(issuers: &[CertificateDer<'a>]) -> Result<Vec<CertificateDer<'a>>, Distrust> {
    let mut seen = HashSet::new();
    let mut distinct: Vec<_> = issuers.iter().filter(|der| seen.insert(*der)).cloned().collect();
    if distinct.len() > MAX_ISSUERS {
        return Err(refuse(&format!(
            "the server sends {} certificates behind its own, and the path is searched among at most {MAX_ISSUERS}",
            distinct.len()
        )));
    }
    // Unreadable certificates have no name, and the search for a path skips them.
    let parsed: Vec<_> = distinct.iter().filter_map(|der| X509Certificate::from_der(der).ok()).collect();
    let names: HashSet<_> = parsed.iter().map(|(_, certificate)| certificate.subject().as_raw()).collect();
    let namesakes = parsed.len() - names.len();
    if namesakes > MAX_NAMESAKES {
        return Err(refuse(&format!(
            "{namesakes} of the certificates behind the server's own have the name of another one, and the path is \
             searched with at most {MAX_NAMESAKES}"
        )));
    }
    distinct.sort_by_cached_key(|der| std::cmp::Reverse(end_of_validity(der)));
    Ok(distinct)
}

fn end_of_validity(der: &CertificateDer<'_>) -> i64 {
    X509Certificate::from_der(der).map_or(i64::MIN, |(_, certificate)| certificate.validity().not_after.timestamp())
}

fn refuse(why: &str) -> Distrust {
    let text = format!("{why}: let it send each certificate of its chain once");
    Distrust::new(CertificateError::ApplicationVerificationFailure, text)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384};
    use rustls::{
        crypto::ring::default_provider,
        pki_types::{ServerName, UnixTime},
    };

    use super::{
        super::{Authorities, ServerVerifier},
        *,
    };

    /// An authority with a key of its own; `parent` signs it.
    fn authority(
        name: &str,
        parent: Option<&Issuer<'_, KeyPair>>,
    ) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let signed = match parent {
            Some(parent) => params.signed_by(&key, parent),
            None => params.self_signed(&key),
        };
        (signed.unwrap().der().clone(), Issuer::new(params, key))
    }

    fn leaf(issuer: &Issuer<'_, KeyPair>) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
    }

    #[test]
    fn the_work_for_a_chain_is_bounded_and_real_chains_are_followed() {
        let (root, trusted) = authority("root", None);
        let (middle, between) = authority("middle", Some(&trusted));
        let (cross, _) = authority("middle", Some(&trusted));
        let mut roots = Authorities::default();
        roots.add(&root).unwrap();
        let verifier = ServerVerifier::new(Arc::new(roots), Arc::new(default_provider()), false);
        // Each has the name of the trusted authority, is signed by nobody, and could come before any other.
        let (_, forger) = authority("root", None);
        let namesakes: Vec<_> = (0..150).map(|_| authority("root", Some(&forger)).0).collect();
        let strangers: Vec<_> = (0..11).map(|n| authority(&format!("stranger {n}"), Some(&forger)).0).collect();
        let (good, forged) = (leaf(&between), leaf(&forger));
        let many = vec![middle.clone(); 40];
        for (leaf, chain, expected) in [
            (&good, &[middle.clone()][..], None),
            (&good, &[cross, middle.clone(), root], None),
            (&good, &many, None),
            (&good, &[], Some("issuer is not trusted")),
            (&forged, &namesakes[..1], Some("has the name of a trusted authority but another key")),
            (&forged, &namesakes[..3], Some("has the name of a trusted authority but another key")),
            (&forged, &namesakes[..8], Some("7 of the certificates")),
            (&forged, &namesakes, Some("sends 150 certificates")),
            (&good, &strangers, Some("sends 11 certificates")),
        ] {
            let start = Instant::now();
            let name = ServerName::try_from("localhost").unwrap();
            let (_, distrust) = verifier.verify(leaf, chain, &name, UnixTime::now());
            let took = start.elapsed();
            println!("{} certificates: {took:?}, {distrust:?}", chain.len());
            let text = distrust.map(|distrust| distrust.text().to_owned());
            match expected {
                Some(expected) => assert!(text.as_ref().is_some_and(|text| text.contains(expected)), "{text:?}"),
                None => assert_eq!(text, None),
            }
            // Without optimization; with it, 16 signatures take 20 ms.
            assert!(took < Duration::from_secs(1), "{} certificates took {took:?}", chain.len());
        }
    }
}
