//! Parts of an HTTP client that several probe kinds share: URLs, authentication, and a kept client.

pub mod auth;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod form;
pub(crate) mod inflow;
pub mod url;
pub mod version;
pub(crate) mod wire;
