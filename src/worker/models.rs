//! Models of the workers' protocols, explored by loom.
#![forbid(unsafe_code)]
