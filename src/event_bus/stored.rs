//! Publishing an event and waiting until it is stored.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::event::Event;
use crate::store::{Durable, Receipt, ReceiptError, ReceiptLevel, Receipts, Written};
use crate::topic::TopicError;
use crate::{Bus, PublishError, Published, Sequence, Shared};

/// Why an event was not published, or was and has no receipt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishStoredError {
    /// The bus refused it.
    #[error(transparent)]
    Publish(#[from] PublishError<Shared<Event>>),
    /// Its topic is none.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// These are the receipts of something else than this bus's journal; nothing was published.
    #[error("nothing was published, because the receipts are not those of this bus")]
    OtherBus,
    /// The bus is disabled; nothing was published.
    #[error("nothing was published, because the bus is disabled")]
    Disabled,
    /// The store never promises this level; nothing was published.
    #[error("nothing was published")]
    NotPromised(#[source] ReceiptError),
    /// It was published, and may still be stored: ask the [`Receipts`] for the sequence again.
    #[error("event {sequence} was published, and has no receipt")]
    NoReceipt {
        /// The event.
        sequence: Sequence,
        /// Why there is none.
        #[source]
        cause: ReceiptError,
    },
}

impl Bus<Shared<Event>> {
    /// Publishes an event and waits until the journal has synced it.
    ///
    /// Many tasks that wait at the same time share one sync (group commit). With the policy
    /// `interval` the receipt comes with the interval's sync.
    ///
    /// # Errors
    ///
    /// [`PublishStoredError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the event may have been published; its record is stored all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use ringpost::store::PersistOptions;
    /// use ringpost::store::journal::{Fsync, Journal, JournalOptions};
    /// use ringpost::{EventBus, event};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let options = JournalOptions::default().with_fsync(Fsync::Batch);
    /// let bus = EventBus::new();
    /// let persistence = bus.persist(Journal::open(&directory, options)?, PersistOptions::default())?;
    /// let receipts = persistence.receipts();
    ///
    /// let paid = event!("invoice.paid", source = "billing", { "number": 7 })?;
    /// let receipt = bus.publish_durable_blocking(paid, &receipts, Duration::from_secs(10))?;
    /// assert_eq!(u64::from(receipt.sequence()), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_durable(
        &self,
        event: impl Into<Shared<Event>>,
        receipts: &Receipts,
    ) -> Result<Receipt<Durable>, PublishStoredError> {
        self.publish_stored(event.into(), receipts).await
    }

    /// As [`publish_durable`](Self::publish_durable), on this thread. `timeout` is for the whole
    /// of it, but for a full ring the bus's own applies.
    ///
    /// # Errors
    ///
    /// [`PublishStoredError`]; [`ReceiptError::Timeout`] when the time is over.
    pub fn publish_durable_blocking(
        &self,
        event: impl Into<Shared<Event>>,
        receipts: &Receipts,
        timeout: Duration,
    ) -> Result<Receipt<Durable>, PublishStoredError> {
        self.publish_stored_blocking(event.into(), receipts, timeout)
    }

    /// Publishes an event and waits until the store took it: it survives this process.
    ///
    /// # Errors
    ///
    /// [`PublishStoredError`].
    ///
    /// # Cancel safety
    ///
    /// As [`publish_durable`](Self::publish_durable).
    pub async fn publish_written(
        &self,
        event: impl Into<Shared<Event>>,
        receipts: &Receipts,
    ) -> Result<Receipt<Written>, PublishStoredError> {
        self.publish_stored(event.into(), receipts).await
    }

    /// As [`publish_written`](Self::publish_written), on this thread.
    ///
    /// # Errors
    ///
    /// As [`publish_durable_blocking`](Self::publish_durable_blocking).
    pub fn publish_written_blocking(
        &self,
        event: impl Into<Shared<Event>>,
        receipts: &Receipts,
        timeout: Duration,
    ) -> Result<Receipt<Written>, PublishStoredError> {
        self.publish_stored_blocking(event.into(), receipts, timeout)
    }

    async fn publish_stored<L: ReceiptLevel>(
        &self,
        event: Shared<Event>,
        receipts: &Receipts,
    ) -> Result<Receipt<L>, PublishStoredError> {
        self.can_be_given::<L>(receipts)?;
        let mut publisher = self.publisher(event.topic())?;
        let sequence = sequence_of(publisher.publish_async(event).await?)?;
        let receipt = receipts.of_level(sequence).await;
        receipt.map_err(|cause| PublishStoredError::NoReceipt { sequence, cause })
    }

    fn publish_stored_blocking<L: ReceiptLevel>(
        &self,
        event: Shared<Event>,
        receipts: &Receipts,
        timeout: Duration,
    ) -> Result<Receipt<L>, PublishStoredError> {
        let since = Instant::now();
        self.can_be_given::<L>(receipts)?;
        let sequence = sequence_of(self.publish(event)?)?;
        let receipt = receipts.of_level(sequence).wait(timeout.saturating_sub(since.elapsed()));
        receipt.map_err(|cause| PublishStoredError::NoReceipt { sequence, cause })
    }

    /// What can be known before anything is published.
    fn can_be_given<L: ReceiptLevel>(&self, receipts: &Receipts) -> Result<(), PublishStoredError> {
        if !receipts.are_of(self) {
            return Err(PublishStoredError::OtherBus);
        }
        if L::LEVEL > receipts.promised() {
            return Err(PublishStoredError::NotPromised(ReceiptError::NotPromised(L::LEVEL)));
        }
        Ok(())
    }
}

fn sequence_of(published: Published) -> Result<Sequence, PublishStoredError> {
    published.sequence.ok_or(PublishStoredError::Disabled)
}
