//! ringpost: bare mailboxes (`tell`), and the bus with every executor.

pub mod bus;
pub mod by_hand;
pub mod mailbox;
