//! Plain closures as actors.
#![forbid(unsafe_code)]

use std::future::Future;

use super::{Actor, Context, Delivery, Failure};
use crate::Message;

/// What a handler may return: nothing, or a `Result` whose error says why it failed.
pub trait IntoOutcome {
    /// The handler's outcome.
    ///
    /// # Errors
    ///
    /// The handler's own.
    fn into_outcome(self) -> Result<(), Failure>;
}

impl IntoOutcome for () {
    #[inline]
    fn into_outcome(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    #[inline]
    fn into_outcome(self) -> Result<(), Failure> {
        self.map_err(Into::into)
    }
}

/// A closure that is done when it returns.
pub(crate) struct SyncClosure<F>(pub(crate) F);

impl<M, F, R> Actor<M> for SyncClosure<F>
where
    M: Message,
    F: FnMut(Delivery<'_, M>) -> R + Send + 'static,
    R: IntoOutcome,
{
    fn handle(
        &mut self,
        delivery: Delivery<'_, M>,
        _context: &mut Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready((self.0)(delivery).into_outcome())
    }

    #[inline]
    fn handle_now(
        &mut self,
        delivery: &Delivery<'_, M>,
        _context: &mut Context,
    ) -> Option<Result<(), Failure>> {
        Some((self.0)(delivery.lent()).into_outcome())
    }
}

/// A closure that returns a future. It keeps what it is given, so the message is cloned for it.
pub(crate) struct AsyncClosure<F>(pub(crate) F);

impl<M, F, T, R> Actor<M> for AsyncClosure<F>
where
    M: Message,
    F: FnMut(Delivery<'static, M>) -> T + Send + 'static,
    T: Future<Output = R> + Send,
    R: IntoOutcome + Send,
{
    fn handle(
        &mut self,
        delivery: Delivery<'_, M>,
        _context: &mut Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let outcome = (self.0)(delivery.cloned());
        async move { outcome.await.into_outcome() }
    }
}
