//! Durations and sizes as operators write them: `"10m"`, `"1d"`, `"PT10M"`, `"10MiB"`.
