//! Dashboards and alert rules, made of the families of metrics.

mod alerts;
mod dashboard;
#[cfg(test)]
mod expression;

pub use alerts::alert_rules;
pub use dashboard::dashboard;
