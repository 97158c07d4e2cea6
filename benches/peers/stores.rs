//! The stores of others.

use relais_benches::Server;
use relais_tests::ForeignStore;

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
