//! What ships under `deploy/` and in the Dockerfile, held to the tools that will read it and to the program it runs.

mod commands;
mod compose;
mod dockerfile;
mod healthcheck;
mod image;
mod kubernetes;
mod monitoring;
mod systemd;
mod tools;
