//! See `gust_fuzz::jetstream_json`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::jetstream_json(data));
