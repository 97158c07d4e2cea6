//! Configurations of other mail systems, read and written anew as one of relais.
//!
//! Nothing of a source is run, and whatever stands in it is bounded. Each line of it becomes a setting
//! with the line in a comment, or is told of: nothing is left out in silence.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | [`postfix`] | Postfix | report, ron, source |
//! | [`sun`] | Sun Java System Messaging Server | mend, report, ron, source |
//! | `mend` | the new file without what its reader refuses | report, ron |
//! | `source` | files of a folder, within bounds | report, ron |
//! | `report` | the fate of each setting | ron |
//! | `ron` | the new file while it is written | — |

mod mend;
pub mod postfix;
mod report;
mod ron;
mod source;
pub mod sun;

pub use report::{Fate, Imported, Place, Told};
pub use source::ImportError;
