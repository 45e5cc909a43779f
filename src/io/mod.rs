//! Resources of a run: connections, TLS, HTTP, secret files, and threads for blocking calls.

pub mod address;
pub(crate) mod bounded_file;
pub mod context;
pub mod dial;
pub(crate) mod exposed_secrets;
pub(crate) mod file_deadline;
pub(crate) mod host_name;
pub mod http;
pub(crate) mod kept;
pub(crate) mod lane;
pub mod resources;
pub mod secret_file;
pub(crate) mod single_flight;
pub mod tls;
pub(crate) mod turn;
