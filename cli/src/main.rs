//! The `ringpost` command.

fn main() {}
