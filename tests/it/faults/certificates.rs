//! Certificates that are expired, about to expire, for another name, or vouched for by nobody.

use std::cell::RefCell;

use super::{Bystanders, endure};
use crate::real::{
    certificates::{Authority, self_signed},
    nginx::Nginx,
};

/// What a bad certificate turns: it is also why the service can't be used.
const REFUSED: [(&str, &str); 2] = [("shop/health", "fail certificate"), ("shop/certificate", "fail certificate")];

/// An nginx with a good certificate gets another one, and the good one back.
fn gets(certificate: impl Fn(&Authority, &std::path::Path), turned: &[(&str, &str)]) {
    let authority = Authority::new();
    let good = |folder: &std::path::Path| authority.certify(folder, "localhost", 24 * 90);
    let nginx = RefCell::new(Nginx::start_tls(good));
    let beside = Bystanders::new();
    let probe = "
        - name: shop
          tcp: {address: \"localhost:${PORT}\", address_family: ip4, tls: {ca: \"${HOME_FOLDER}/ca.pem\"}}
          checks: [{certificate: {min_remaining: {warn: 30d, fail: 7d}}}]
        ";
    let home = beside.beside(probe).with("PORT", nginx.borrow().port.to_string());
    authority.write(&home.path("ca.pem"));
    let take = |install: &dyn Fn(&std::path::Path)| {
        let mut nginx = nginx.borrow_mut();
        install(nginx.folder());
        nginx.stop();
        nginx.start_again();
    };
    endure(&home.serve(), turned, || take(&|folder| certificate(&authority, folder)), || take(&good));
}

#[test]
fn an_expired_certificate_fails() {
    gets(|authority, folder| authority.certify(folder, "localhost", -1), &REFUSED);
}

#[test]
fn a_certificate_for_another_name_fails() {
    gets(|authority, folder| authority.certify(folder, "elsewhere.example", 24 * 90), &REFUSED);
}

#[test]
fn a_self_signed_certificate_fails() {
    gets(|_, folder| self_signed(folder, "localhost"), &REFUSED);
}

#[test]
fn a_certificate_that_ends_soon_warns_and_the_service_stays_usable() {
    gets(|authority, folder| authority.certify(folder, "localhost", 24 * 20), &[("shop/certificate", "warn limit")]);
}
