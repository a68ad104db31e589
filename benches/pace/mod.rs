//! How long each benchmark is measured.

use std::time::Duration;

use criterion::Criterion;

/// Few and long samples, so that what a run costs beside its messages, such as starting a thread,
/// is little; and short enough for `--quick`, which takes at most about three times the
/// measurement time for each benchmark.
pub(crate) fn pace() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}
