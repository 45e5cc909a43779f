//! Names of keys and signatures of certificates.

use x509_parser::{
    prelude::{AlgorithmIdentifier, SubjectPublicKeyInfo},
    public_key::PublicKey,
};

/// Minimum length of an RSA key. NIST SP 800-131A disallows shorter keys, and OpenSSL refuses them.
pub(in crate::io::tls) const MIN_RSA_BITS: usize = 2048;

/// Elliptic curves by object identifier.
const CURVES: [(&str, &str); 6] = [
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
];

/// Other keys by object identifier.
const KEYS: [(&str, &str); 7] = [
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.10040.4.1", "DSA"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
];

/// Signature algorithms by object identifier.
const SIGNATURES: [(&str, &str); 13] = [
    ("1.2.840.113549.1.1.4", "MD5 and RSA"),
    ("1.2.840.113549.1.1.5", "SHA-1 and RSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.1.11", "SHA-256 and RSA"),
    ("1.2.840.113549.1.1.12", "SHA-384 and RSA"),
    ("1.2.840.113549.1.1.13", "SHA-512 and RSA"),
    ("1.2.840.10045.4.1", "SHA-1 and ECDSA"),
    ("1.2.840.10045.4.3.2", "SHA-256 and ECDSA"),
    ("1.2.840.10045.4.3.3", "SHA-384 and ECDSA"),
    ("1.2.840.10045.4.3.4", "SHA-512 and ECDSA"),
    ("1.2.840.10040.4.3", "SHA-1 and DSA"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

/// Name of a public key, such as `RSA 2048` or `ECDSA P-256`; for RSA with the number of bits.
pub(super) fn key_name(key: &SubjectPublicKeyInfo<'_>) -> (String, Option<usize>) {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = bit_length(rsa.modulus);
            (format!("RSA {bits}"), Some(bits))
        }
        Ok(PublicKey::EC(_)) => {
            let curve =
                key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
            (format!("ECDSA {}", curve.map_or("on an unnamed curve".to_owned(), |oid| name_of(&CURVES, oid))), None)
        }
        _ => (name_of(&KEYS, algorithm), None),
    }
}

/// Name of a signature algorithm, such as `SHA-256 and RSA`.
pub(super) fn signature_name(algorithm: &AlgorithmIdentifier<'_>) -> String {
    name_of(&SIGNATURES, algorithm.algorithm.to_id_string())
}

fn name_of(names: &[(&str, &str)], oid: String) -> String {
    names.iter().find(|(known, _)| *known == oid).map_or(oid, |(_, name)| (*name).to_owned())
}

fn bit_length(number: &[u8]) -> usize {
    let significant = number.iter().position(|byte| *byte != 0).and_then(|at| number.get(at..)).unwrap_or_default();
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}
