//! Runs the real `ringpost` and looks at what comes out: text, JSON, exit codes, journals.

mod acceptance;
mod bench;
mod configuration;
mod explain;
mod inspect;
mod publish;
mod signals;
mod support;
mod tail;
mod tune;
