//! See `gust_fuzz::wal_open`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::wal_open(data));
