//! The daemon: one file per step of a request, and what runs beside the requests.

pub mod hosts;
