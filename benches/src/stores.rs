//! The stores of others as servers under load.

use relais_tests::ForeignStore;

use crate::Server;

impl Server for ForeignStore {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn pid(&self) -> u32 {
        Self::pid(self)
    }

    fn share(&self, messages: usize) -> usize {
        (messages / 10).max(1)
    }
}
