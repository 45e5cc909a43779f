//! Probe kinds against real servers, and against servers that only pretend.

mod backup_forms;
mod backups;
mod kubernetes;
mod nginx;
mod postgres;
mod tcp;
