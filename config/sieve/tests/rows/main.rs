//! Scripts and what they decide, row by row: the examples of each RFC, and tables of our own.

mod base;
mod case;
mod examples;
mod extensions;
mod hostile;
mod messages;
mod more_examples;
mod slow;
